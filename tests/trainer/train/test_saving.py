"""How much room the first checkpoint is thought to need."""

from dataclasses import dataclass

import pytest

from fairlead_trainer.train import saving


@dataclass
class Weight:
    """A parameter as torch shows it."""

    count: int
    element_bytes: int = 4
    requires_grad: bool = True

    def numel(self):
        return self.count

    def element_size(self):
        return self.element_bytes


class PartedWeight(Weight):
    """A parameter that ZeRO-3 keeps in parts: nothing of it is here."""

    @property
    def ds_numel(self):
        return self.count

    def numel(self):
        return 0


@pytest.mark.parametrize(
    ("weights", "expected"),
    [  # as measured over ZeRO's stages: 16 to 20 bytes in fp32, 14 to 16 in bf16
        pytest.param([Weight(10)], 200, id="fp32"),
        pytest.param([Weight(10, element_bytes=2)], 160, id="bf16"),
        pytest.param([PartedWeight(10)], 200, id="parted"),
        pytest.param([Weight(10, requires_grad=False), Weight(1)], 20, id="frozen"),
    ],
)
def test_first_checkpoint_is_guessed_from_the_trained_weights(weights, expected):
    assert saving.guessed_bytes(weights) == expected
