"""The errors a user can meet, each with the way out, and their exit statuses.

CliError            1  what was asked about failed
├── WrongUsage      2  the command line or a file is not understood
├── NoCluster       2  no kubeconfig, or the API server doesn't answer or refuses us
└── TimedOut        3  it is still going on
"""


class CliError(Exception):
    """One line for the user; the message says where and the way out."""

    exit_status = 1


class WrongUsage(CliError):
    """The command line or a file is not understood."""

    exit_status = 2


class NoCluster(CliError):
    """The API server can't be reached, or refuses to answer."""

    exit_status = 2


class TimedOut(CliError):
    """The time given is over and the end isn't reached."""

    exit_status = 3
