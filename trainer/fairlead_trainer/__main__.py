"""``python -m fairlead_trainer prepare|train|export``: hear SIGTERM, then load the rest."""

import sys

from fairlead_trainer import sigterm

if __name__ == "__main__":
    sigterm.note()
    from fairlead_trainer import command

    sys.exit(command.main(sys.argv[1:]))
