"""Datasets in, parquet and a digest out; refusals name dataset, file and line."""

import errno
import itertools
import json
import struct
from pathlib import Path

import pyarrow
import pytest
from pyarrow import Table, parquet

from fairlead_api import names
from fairlead_api.termination import Cause
from fairlead_trainer.failures import StageFailure
from fairlead_trainer.prepare import parquet as shards
from fairlead_trainer.prepare import reading, sources, stage

ROW = '{"prompt": "two kilos", "completion": "2000 g"}'
OTHER = '{"prompt": "a metre", "completion": "1000 mm"}'
TEXT = '{"text": "a metre"}'


def inline(text, name="amounts", **more):
    return {"datasets": [{"name": name, "inline": text, **more}]}


def from_claim(path="rows"):
    return {"datasets": [{"name": "amounts", "uri": f"pvc://demo/{path}"}]}


def table(settings):
    files = sorted((settings.folder / "data").glob("*.parquet"))
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


def test_rows_arrive_with_count_and_format(settle):
    settings = settle(**inline(f"{ROW}\n\n{OTHER}\n"))
    result = stage.run(settings)
    assert result.prepared is not None
    assert (result.prepared.num_rows, result.prepared.format) == (2, "PromptCompletion")
    assert table(settings) == [json.loads(ROW), json.loads(OTHER)]


def test_rows_of_messages_survive_parquet(settle):
    row = {
        "messages": [{"role": "user", "content": "é"}, {"role": "assistant", "content": "2000 g"}]
    }
    settings = settle(**inline(json.dumps(row)))
    stage.run(settings)
    assert table(settings) == [row]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        pytest.param(f"{ROW}\n{OTHER}", True, id="equal"),
        pytest.param(
            '{"completion":"2000 g","prompt":"two kilos","id":1}\n' + OTHER, True, id="id"
        ),
        pytest.param(f"{OTHER}\n{ROW}", False, id="another-order"),
        pytest.param(ROW, False, id="fewer"),
    ],
)
def test_digest_is_over_the_rows(settle, text, same, tmp_path):
    first = stage.run(settle(**inline(f"{ROW}\n{OTHER}"))).prepared
    stage.storage.remove_tree(tmp_path / "mnt/claims/demo/finetunejobs")
    second = stage.run(settle(**inline(text))).prepared
    assert first is not None
    assert second is not None
    assert (first.digest == second.digest) is same


def test_folder_of_jsonl_and_parquet_is_read_in_order_of_name(settle, claim):
    folder = claim / "rows"
    folder.mkdir()
    (folder / "b.jsonl").write_text(OTHER)
    parquet.write_table(Table.from_pylist([json.loads(ROW)]), folder / "a.parquet")
    (folder / "README.md").write_text("not a row")
    (folder / ".hidden.jsonl").write_text("not a row")
    settings = settle(**from_claim())
    stage.run(settings)
    assert table(settings) == [json.loads(ROW), json.loads(OTHER)]


def test_config_map_is_read_through_kubernetes_links(settle, tmp_path):
    mounted = tmp_path / names.CONFIG_DATASETS_DIR.lstrip("/") / "amounts"
    (mounted / "..data").mkdir(parents=True)
    (mounted / "..data/rows.jsonl").write_text(ROW)
    (mounted / "rows.jsonl").symlink_to("..data/rows.jsonl")
    settings = settle(datasets=[{"name": "amounts", "configMapRef": {"name": "rows"}}])
    stage.run(settings)
    assert table(settings) == [json.loads(ROW)]


def test_byte_order_mark_is_passed_over(settle, claim):
    (claim / "rows.jsonl").write_bytes(b"\xef\xbb\xbf" + ROW.encode())
    settings = settle(**from_claim("rows.jsonl"))
    stage.run(settings)
    assert table(settings) == [json.loads(ROW)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(
            f"{ROW}\n{{broken\n".encode(),
            "dataset amounts, file pvc://demo/rows.jsonl, line 2: expected one JSON object",
            id="broken-line",
        ),
        pytest.param(
            f"{ROW}\n\n[1]".encode(), "line 3: expected an object, found a list", id="no-object"
        ),
        pytest.param(
            f'{ROW}\n{{"prompt": "a"}}'.encode(), "line 2: completion is missing", id="field"
        ),
        pytest.param(
            f"{ROW}\n".encode() + b'{"prompt": "\xff"}', "line 2: is not UTF-8", id="not-utf-8"
        ),
        pytest.param(b"[" * 100_000, "line 1: ", id="nested"),
        pytest.param(
            f'{ROW}\n{{"text": "a", "id": {"1" * 5000}}}'.encode(),
            "line 2: Exceeds the limit",
            id="number-of-5000-digits",
        ),
        pytest.param(b"\n\n", "dataset amounts: it has no rows", id="empty"),
        pytest.param(b"", "dataset amounts: it has no rows", id="no-bytes"),
    ],
)
def test_broken_file_is_refused_by_dataset_file_and_line(settle, claim, content, told):
    (claim / "rows.jsonl").write_bytes(content)
    settings = settle(**from_claim("rows.jsonl"))
    with pytest.raises(StageFailure) as caught:
        stage.run(settings)
    assert caught.value.cause is Cause.DATASET_ERROR
    assert told in caught.value.message
    assert list(settings.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "column"),
    [
        pytest.param('{"text": "a"', 13, id="object-cut-off"),
        pytest.param('{"text": "a", ', 15, id="field-cut-off"),
        pytest.param('{"text": "a', 10, id="text-cut-off"),
        pytest.param('{"text" "a"}', 9, id="no-colon"),
        pytest.param('{"text": "a"} {}', 15, id="two-rows"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""], ids=["unix", "windows", "last"])
def test_broken_row_is_told_with_its_column(settle, claim, line, column, end):
    (claim / "rows.jsonl").write_bytes(f"{ROW}\n{line}{end}".encode())
    with pytest.raises(StageFailure, match=rf"line 2: .*(?<! at) at column {column}$"):
        stage.run(settle(**from_claim("rows.jsonl")))


def test_broken_parquet_is_refused_by_name(settle, claim):
    (claim / "rows.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(StageFailure, match=r"rows.parquet, row 1: is no readable parquet"):
        stage.run(settle(**from_claim("rows.parquet")))


def texts(*values):
    """A column of texts whose bytes are as given."""
    offsets = list(itertools.accumulate(map(len, values), initial=0))
    buffers = [struct.pack(f"{len(offsets)}i", *offsets), b"".join(values)]
    return pyarrow.StringArray.from_buffers(len(values), *map(pyarrow.py_buffer, buffers))


NANOSECONDS = pyarrow.array([1000, 1], pyarrow.timestamp("ns"))


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"text": texts(b"a metre", b"\xff\xfe")}, id="not-utf-8"),
        pytest.param({"text": NANOSECONDS}, id="time"),
    ],
)
def test_value_without_a_text_is_refused_by_its_row(settle, claim, columns):
    parquet.write_table(pyarrow.table(columns), claim / "rows.parquet")
    with pytest.raises(StageFailure) as caught:
        stage.run(settle(**from_claim("rows.parquet")))
    assert caught.value.cause is Cause.DATASET_ERROR
    assert "dataset amounts, file pvc://demo/rows.parquet, row " in caught.value.message


def test_row_is_counted_up_to_the_value_that_cannot_be_read(settle, claim):
    table = pyarrow.table({"text": texts(b"a metre", b"\xff\xfe")})
    parquet.write_table(table, claim / "rows.parquet")
    with pytest.raises(StageFailure, match="row 2: is no readable parquet: 'utf-8' codec"):
        stage.run(settle(**from_claim("rows.parquet")))


@pytest.mark.parametrize(
    "other", [NANOSECONDS, texts(b"\xff", b"\xfe")], ids=["nanoseconds", "not-utf-8"]
)
def test_column_that_no_format_knows_is_not_read(settle, claim, other):
    columns = {"at": other, "text": ["a metre", "a kilo"]}
    parquet.write_table(pyarrow.table(columns), claim / "rows.parquet")
    settings = settle(**from_claim("rows.parquet"))
    stage.run(settings)
    assert table(settings) == [{"text": "a metre"}, {"text": "a kilo"}]


def test_columns_of_parquet_that_fit_no_format_are_named(settle, claim):
    columns = {"question": ["how much?"], "at": NANOSECONDS[:1]}
    parquet.write_table(pyarrow.table(columns), claim / "rows.parquet")
    with pytest.raises(StageFailure, match=r"row 1: fits no format \(found at, question\)"):
        stage.run(settle(**from_claim("rows.parquet")))


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_storage_that_gives_no_answer_is_not_the_datasets_fault(settle, claim, suffix, monkeypatch):
    source = sources.Source("amounts", "rows", f".{suffix}", claim / f"rows.{suffix}")

    def stale(*_arguments, **_options):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Path, "open", stale)
    monkeypatch.setattr(parquet, "ParquetFile", stale)
    with pytest.raises(StageFailure, match="Stale file handle") as caught:
        next(reading.rows(source))
    assert caught.value.cause is Cause.CRASHED


def test_line_beyond_the_bound_is_refused(settle, monkeypatch):
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 100)
    with pytest.raises(StageFailure, match="line 2: longer than 100 bytes"):
        stage.run(settle(**inline(ROW + "\n" + json.dumps({"text": "x" * 100}))))


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        pytest.param("nowhere", "there is nothing at pvc://demo/nowhere", id="nothing"),
        pytest.param("rows.csv", "ends in neither .jsonl nor .parquet", id="suffix"),
        pytest.param("folder", "pvc://demo/folder holds no file that ends in", id="empty-folder"),
    ],
)
def test_dataset_without_files_is_refused(settle, claim, uri, told):
    (claim / "rows.csv").write_text("a,b")
    (claim / "folder").mkdir()
    with pytest.raises(StageFailure, match=told):
        stage.run(settle(**from_claim(uri)))


@pytest.mark.parametrize(
    ("second", "told"),
    [
        pytest.param(
            {"name": "more", "inline": TEXT},
            "dataset more, file inline, line 1: is Text, but the first row of all is",
            id="formats",
        ),
        pytest.param(
            {"name": "more", "inline": "\n\n"}, "dataset more: it has no rows", id="empty"
        ),
    ],
)
def test_datasets_must_agree(settle, second, told):
    with pytest.raises(StageFailure, match=told):
        stage.run(settle(datasets=[*inline(ROW)["datasets"], second]))


def test_named_format_is_held_to(settle):
    with pytest.raises(StageFailure, match="line 1: text is missing; a Text row needs text"):
        stage.run(settle(**inline(ROW, format="Text")))


def test_data_that_stands_is_not_made_again(settle, claim):
    (claim / "rows.jsonl").write_text(ROW)
    first = stage.run(settle(**from_claim("rows.jsonl")))
    (claim / "rows.jsonl").unlink()
    again = stage.run(settle(attempt=2, **from_claim("rows.jsonl")))
    assert again.prepared == first.prepared


HARMS = [
    pytest.param(lambda data: (data / "train-00000.parquet").write_bytes(b"PAR1"), id="shard"),
    pytest.param(lambda data: (data / "train-00000.parquet").unlink(), id="no-shard"),
    pytest.param(lambda data: (data / stage.MANIFEST).unlink(), id="no-manifest"),
    pytest.param(lambda data: (data / stage.MANIFEST).write_text("{"), id="torn-manifest"),
]


@pytest.mark.parametrize("harm", HARMS)
def test_data_that_was_harmed_is_made_anew(settle, harm):
    settings = settle(**inline(ROW))
    first = stage.run(settings)
    harm(settings.folder / "data")
    assert stage.run(settings).prepared == first.prepared
    assert table(settings) == [json.loads(ROW)]
    assert [path.name for path in settings.folder.iterdir()] == ["data"]


@pytest.mark.parametrize("harm", HARMS)
def test_looking_at_harmed_data_changes_nothing(settle, harm):
    settings = settle(**inline(ROW))
    stage.run(settings)
    data = settings.folder / "data"
    harm(data)
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    with pytest.raises(stage.Unusable):
        stage.standing(data)
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before


def test_many_rows_go_into_groups_and_shards(settle, monkeypatch):
    monkeypatch.setattr(shards, "ROWS_A_GROUP", 10)
    monkeypatch.setattr(shards, "ROWS_A_SHARD", 30)
    rows = [{"text": f"row {number}"} for number in range(75)]
    settings = settle(**inline("\n".join(map(json.dumps, rows))))
    stage.run(settings)
    files = sorted((settings.folder / "data").glob("*.parquet"))
    assert [parquet.read_metadata(file).num_rows for file in files] == [30, 30, 15]
    assert [parquet.read_metadata(file).num_row_groups for file in files] == [3, 3, 2]
    assert table(settings) == rows
