"""Our reports in the place of KubeflowCallback's, in transformers' own training loop.

Needs the trainer's own environment (requirements/trainer.txt); tests/e2e brings it into the image.
"""

import socket
import time

import pytest

from fairlead_api import names

torch = pytest.importorskip("torch", reason="torch is missing: the e2e tier runs this in the image")
transformers = pytest.importorskip(
    "transformers", reason="transformers is missing: the e2e tier runs this in the image"
)
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("default")]

REPORT_SECONDS = 5.0  # what KubeflowCallback waits for an answer, in the midst of a step


class Told:
    """In the messenger's place: keeps the reports."""

    def __init__(self, _endpoint=None):
        self.reports = []

    def tell(self, report):
        numbers = {it["name"]: it["value"] for it in report["metrics"]}
        eta = report.get("estimatedRemainingSeconds")
        self.reports.append((numbers["current_step"], report["progressPercentage"], eta))

    close = tell


class Linear(torch.nn.Module):
    """A model of two weights."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x, labels=None):
        return {"loss": ((self.layer(x) - labels) ** 2).mean()}


@pytest.fixture
def build(tmp_path, monkeypatch):
    """A function that makes a trainer which would report to an address."""
    from fairlead_trainer.train import reports

    (tmp_path / "token").write_text("secret")

    def make(url, max_steps=4, callbacks=()):
        environment = {
            names.ENV_PROGRESS_URL: url,
            names.ENV_PROGRESS_TOKEN: str(tmp_path / "token"),
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path / "out"), max_steps=max_steps, save_steps=2, report_to="none",
            use_cpu=True, disable_tqdm=True, logging_steps=1,
        )  # fmt: skip
        row = {"x": torch.ones(1), "labels": torch.ones(1)}
        trainer = transformers.Trainer(
            Linear(), arguments, train_dataset=[row] * 64, callbacks=list(callbacks)
        )
        reports.replace_kubeflow(trainer, environment)
        return trainer

    return make


def test_no_step_waits_for_an_endpoint_that_never_answers(build):
    class Timed(transformers.TrainerCallback):
        def on_train_begin(self, *_args, **_kwargs):
            self.begun = time.monotonic()

        def on_step_end(self, *_args, **_kwargs):
            self.took = time.monotonic() - self.begun

    timed = Timed()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        build(f"http://127.0.0.1:{silent.getsockname()[1]}/", callbacks=[timed]).train()
    assert timed.took < REPORT_SECONDS


def test_a_resumed_run_reports_from_where_it_goes_on(build, monkeypatch, tmp_path):
    from fairlead_trainer.train import reports

    told = Told()
    monkeypatch.setattr(reports, "Messenger", lambda _endpoint: told)
    build("http://operator/", max_steps=2).train()
    assert [report[:2] for report in told.reports] == [
        ("0", 0), ("1", 50), ("2", 99), ("2", 100),
    ]  # fmt: skip
    told.reports.clear()
    build("http://operator/").train(resume_from_checkpoint=str(tmp_path / "out/checkpoint-2"))
    assert [report[:2] for report in told.reports] == [
        ("2", 50), ("3", 75), ("4", 99), ("4", 100),
    ]  # fmt: skip
    assert told.reports[0][2] is None  # nothing is known of this attempt's speed yet


def test_without_an_endpoint_nothing_reports(build, monkeypatch):
    monkeypatch.setenv("DISABLE_KUBEFLOW_INTEGRATION", "TRUE")
    from fairlead_trainer.train.reports import Reports

    assert build("http://operator/").pop_callback(Reports) is None
