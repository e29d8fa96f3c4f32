"""What `--where` takes, and how far a trial is from keeping to it."""

import pytest

from trainables.objective import Constraint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("val_rate<=20", "val_rate<=20"),
        (" val_rate <= 20 nats ", "val_rate<=20"),
        ("val_mse<=1e-3", "val_mse<=0.001"),
        ("val_active_units>=4 latents", "val_active_units>=4"),
        ("val_bits_per_dim<=.5 bits", "val_bits_per_dim<=0.5"),
    ],
)
def test_a_limit_is_parsed_and_printed(text: str, said: str) -> None:
    assert str(Constraint.of(text)) == said
    assert Constraint.of(said) == Constraint.of(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("val_rate", "METRIC<=NUMBER"),
        ("val_rate<20", "METRIC<=NUMBER"),
        ("val_rate<=", "METRIC<=NUMBER"),
        ("val_rate<=nan", "METRIC<=NUMBER"),
        ("rate<=20", "got 'rate'"),
        ("train_rate<=20", "got 'train_rate'"),
        ("val_rate<=20 bits", "nats per image, got 'bits'"),
        ("val_mse<=0.1 nats", "no unit, got 'nats'"),
        ("val_rate<=0", "above 0"),
        ("val_rate<=-3", "above 0"),
        ("val_rate<=1.2.3", "above 0"),
        ("val_rate<=1e400", "below 1e12"),
    ],
)
def test_nonsense_is_refused_with_its_value(text: str, told: str) -> None:
    with pytest.raises(ValueError, match="--where must") as error:
        Constraint.of(text)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_violation_is_a_share_of_the_limit_and_negative_inside() -> None:
    assert Constraint.of("val_rate<=20").violation({"val_rate": 25.0}) == pytest.approx(0.25)
    assert Constraint.of("val_rate<=20").violation({"val_rate": 20.0}) == 0
    assert Constraint.of("val_rate<=20").violation({"val_rate": 10.0}) == pytest.approx(-0.5)
    assert Constraint.of("val_active_units>=4").violation({"val_active_units": 3}) == pytest.approx(0.25)
