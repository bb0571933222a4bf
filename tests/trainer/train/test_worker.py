"""What a rank decides without torch."""

from fairlead_trainer.prepare import stage as prepare
from fairlead_trainer.train import worker


def test_data_that_stands_is_no_problem(settle):
    settings = settle()
    prepare.run(settings)
    assert worker.data_problem(settings.folder / "data") == ""


def test_data_that_changed_is_told_with_file_and_way_out_and_left_alone(settle):
    settings = settle()
    prepare.run(settings)
    shard = settings.folder / "data/train-00000.parquet"
    shard.write_bytes(b"PAR1")
    told = worker.data_problem(settings.folder / "data")
    assert "train-00000.parquet has 4 bytes" in told
    assert "delete the job and apply it again" in told
    assert shard.read_bytes() == b"PAR1"
