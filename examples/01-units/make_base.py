"""Make what the example starts from: a small base model that knows task A, and task B's data.

Runs in the trainer's image as ``python make_base.py CLAIM_FOLDER`` and leaves there::

    bases/dates/            a Qwen3 of 2 million parameters with tokenizer and chat template
    datasets/amounts.jsonl  questions and answers of task B, as TRL's prompt and completion

The base is trained here and now on dates (task A) and never sees an amount. A folder that this
very text has made before is left as it is.
"""

import hashlib
import json
import logging
import shutil
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import questions
import torch
from questions import Question
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

log = logging.getLogger("make_base")

BASE_SEED, DATA_SEED, TEST_SEED, VOCABULARY_SEED = 1, 2, 3, 4
NUM_STEPS, BATCH_SIZE, LEARNING_RATE = 700, 32, 0.005
NUM_EXAMPLES, NUM_TESTS = 8_000, 100
VOCABULARY_SIZE = 2048
SCORES = "scores.json"
PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}"
    + ASSISTANT
    + "{{ message.content }}"
    + END
    + "{% else %}"
    "" + USER + "{{ message.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}" + ASSISTANT + "{% endif %}"
)
# Qwen3 normalises queries and keys. A Llama this narrow ends its training on dates with attention
# so sharp that hardly any gradient reaches a word it has not met: it learns the amounts ten times
# slower than a model that knows nothing.
MODEL = Qwen3Config(
    hidden_size=192,
    intermediate_size=512,
    num_hidden_layers=4,
    num_attention_heads=6,  # six heads of 32 learn to copy in half the steps of three of 64
    num_key_value_heads=6,
    head_dim=32,  # the smallest that vLLM has kernels for
    max_position_embeddings=512,
    # Tied, the words of task B would be pushed together while task A is learnt, each step a little
    # away from every answer: the FineTuneJob could hardly tell them apart afterwards.
    tie_word_embeddings=False,
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer: words of both tasks whole, digits one by one.

    Parts of a word with a hyphen stand alone, so what is learnt of forty-two helps forty-three.
    """
    tokenizer = Tokenizer(models.BPE())
    pieces = Regex(r"\d| ?[A-Za-z]+| ?[^\sA-Za-z\d]+|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pieces, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[PAD, USER, ASSISTANT, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (
        question.text
        for task in questions.TASKS
        for question in islice(questions.drawn(task, VOCABULARY_SEED), 20_000)
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, chat_template=CHAT_TEMPLATE
    )


class Encoder:
    """Questions as token ids."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.pad, self.end = tokenizer.pad_token_id, tokenizer.eos_token_id

    def prompt(self, question: Question) -> list[int]:
        """What the model is given."""
        return self.tokenizer.encode(f"{USER}{question.text}{ASSISTANT}", add_special_tokens=False)

    def answer(self, question: Question) -> list[int]:
        """What it should go on with."""
        return self.tokenizer.encode(question.answer + END, add_special_tokens=False)

    def batches(self, drawn: Iterator[Question]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Token ids and labels, without end."""
        while True:
            rows = [(self.prompt(q), self.answer(q)) for q in islice(drawn, BATCH_SIZE)]
            yield self._tensors(rows)

    def _tensors(
        self, rows: list[tuple[list[int], list[int]]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(prompt) + len(answer) for prompt, answer in rows)
        ids = torch.full((len(rows), width), self.pad)
        labels = torch.full((len(rows), width), -100)
        for row, (prompt, answer) in enumerate(rows):
            end = len(prompt) + len(answer)
            ids[row, :end] = torch.tensor(prompt + answer)
            labels[row, len(prompt) : end] = torch.tensor(answer)
        return ids, labels


def pretrain(encoder: Encoder) -> Qwen3ForCausalLM:
    """Train a fresh model on task A."""
    torch.manual_seed(BASE_SEED)
    MODEL.vocab_size = len(encoder.tokenizer)
    MODEL.pad_token_id, MODEL.eos_token_id = encoder.pad, encoder.end
    MODEL.bos_token_id = None
    model = Qwen3ForCausalLM(MODEL)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / 30, 1.0, 1.25 * (NUM_STEPS - step) / NUM_STEPS),
    )
    batches = encoder.batches(questions.drawn("dates", BASE_SEED))
    began = time.monotonic()
    for step, (ids, labels) in enumerate(islice(batches, NUM_STEPS), start=1):
        loss = model(ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            log.info(
                "step %d/%d loss %.3f %.0f s",
                step, NUM_STEPS, loss.item(), time.monotonic() - began,
            )  # fmt: skip
    return model.eval()


def exact_match(model: Qwen3ForCausalLM, encoder: Encoder, task: str) -> float:
    """Share of unseen questions that the model answers exactly."""
    asked = list(islice(questions.drawn(task, TEST_SEED), NUM_TESTS))
    prompts = [encoder.prompt(question) for question in asked]
    width = max(map(len, prompts))
    ids = torch.tensor([[encoder.pad] * (width - len(prompt)) + prompt for prompt in prompts])
    answers = model.generate(
        ids, attention_mask=(ids != encoder.pad).long(), max_new_tokens=16, do_sample=False
    )[:, width:]
    texts = encoder.tokenizer.batch_decode(answers, skip_special_tokens=True)
    right = [text == question.answer for text, question in zip(texts, asked, strict=True)]
    return sum(right) / len(right)


def write_dataset(path: Path) -> None:
    """Task B as rows that TRL trains on with loss on the answers only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for question in islice(questions.drawn("amounts", DATA_SEED), NUM_EXAMPLES):
            row = {
                "prompt": [{"role": "user", "content": question.text}],
                "completion": [{"role": "assistant", "content": question.answer}],
            }
            file.write(json.dumps(row) + "\n")


def content_key() -> str:
    """What the result depends on: this text and the questions'."""
    texts = [Path(__file__).read_bytes(), Path(questions.__file__).read_bytes()]
    return hashlib.sha256(b"".join(texts)).hexdigest()


def make(claim: Path, folder: Path) -> None:
    """Write task B's data, and train and write the base."""
    write_dataset(claim / "datasets/amounts.jsonl")
    encoder = Encoder(make_tokenizer())
    model = pretrain(encoder)
    scores = {task: exact_match(model, encoder, task) for task in questions.TASKS}
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    encoder.tokenizer.save_pretrained(folder)
    (folder / SCORES).write_text(json.dumps(scores))
    for path in folder.iterdir():
        path.chmod(0o644)  # the server runs as another user


def main(claim: Path) -> None:
    """Make base and dataset, unless they are there."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folder, key_file = claim / "bases/dates", claim / "bases/dates.key"
    if key_file.is_file() and key_file.read_text() == content_key():
        log.info("%s is there already", folder)
    else:
        key_file.unlink(missing_ok=True)
        make(claim, folder)
        key_file.write_text(content_key())
    log.info("exact answers to unseen questions: %s", (folder / SCORES).read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
