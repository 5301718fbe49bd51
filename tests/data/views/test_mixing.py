"""Views of two samples: who the partner is, what of it is seen, and that all of it comes back from what is stored."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from teachercache.data import DataError, ViewPolicy, ViewsSpec
from teachercache.data.views.captions import drawn_captions, pick_caption

IDS = [f"s{i}" for i in range(40)]


def policy(*operations: dict[str, object], **settings: object) -> ViewPolicy:
    return ViewPolicy(ViewsSpec(**{"count": 3, "size": 16, "operations": list(operations), **settings}))


def test_partner_is_another_sample_of_the_shard_drawn_by_id_and_view_alone() -> None:
    views = policy({"op": "mixup", "p": 1.0})
    whole = views.draw(IDS)
    partner, share = views.partners(whole)
    own = np.repeat(np.arange(40), 3)
    assert (partner[::3] == -1).all() and (share[::3] == 1).all()  # the plain view is nobody else's
    mixed = np.arange(120) % 3 > 0
    assert (partner[mixed] >= 0).all() and (partner[mixed] < 40).all() and (partner != own).all()
    assert len(set(partner[mixed])) > 25 and (share[mixed] >= 0.5).all() and share[mixed].std() > 0.1
    np.testing.assert_array_equal(views.draw(IDS[10:13], 10, 40), whole[30:39])
    np.testing.assert_array_equal(views.range(1, 2).draw(IDS), whole.reshape(40, 3, -1)[:, 1:].reshape(80, -1))


def test_mixup_blends_with_the_partner_and_what_stands_before_it_is_done_to_both(pattern: Callable) -> None:
    views = policy({"op": "crop"}, {"op": "flip", "p": 1.0}, {"op": "mixup", "p": 1.0})
    alone = policy({"op": "crop"}, {"op": "flip", "p": 1.0})
    image, other = pattern(30, 40, 3), pattern(50, 20, 3)[::-1].copy()
    row = views.draw(IDS)[1]
    share = row[-1]
    expected = share * alone.replay(image, row[:5]).astype(float) + (1 - share) * alone.replay(other, row[:5])
    found = pickle.loads(pickle.dumps(views)).replay(image.copy(), row.copy(), other.copy())
    assert np.abs(found - expected).max() <= 0.51


def test_cutmix_pastes_whole_pixels_and_says_how_many(pattern: Callable) -> None:
    views = policy({"op": "cutmix", "p": 1.0})
    image, other = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 200, np.uint8)
    drawn = views.draw(IDS)
    _, shares = views.partners(drawn)
    for row, share in zip(drawn, shares, strict=True):
        view = views.replay(image, row, other if row[0] >= 0 else None)
        assert set(np.unique(view)) <= {0, 200}
        assert (view == 0).mean() == pytest.approx(share, abs=1e-12)
    assert len(set(shares)) > 20


def test_a_view_is_mixed_once_and_about_as_often_as_p_says() -> None:
    views = policy({"op": "mixup", "p": 0.3}, {"op": "cutmix", "p": 1.0})
    drawn = views.draw([str(i) for i in range(2000)])[1::3]
    blended, pasted = drawn[:, 0] >= 0, drawn[:, 2] >= 0
    assert not (blended & pasted).any() and (blended | pasted).all()
    assert blended.mean() == pytest.approx(0.3, abs=0.04)


def test_only_sample_of_a_shard_stays_alone() -> None:
    views = policy({"op": "mixup", "p": 1.0})
    np.testing.assert_array_equal(views.draw(["a"]), np.tile(views.identity, (3, 1)))


def test_mixed_view_without_its_partner_is_refused(pattern: Callable) -> None:
    views = policy({"op": "mixup", "p": 1.0})
    with pytest.raises(DataError, match="give its image as well"):
        views.replay(pattern(16, 16, 3), views.draw(IDS)[1])


@pytest.mark.parametrize(
    ("operation", "wrong", "message"),
    [("mixup", [1.0, 1.5], "no share of a mixup"), ("cutmix", [1.0, 0.6, 0.0, 0.6, 0.1], "no box to paste")],
)
def test_damaged_parameters_are_refused(operation: str, wrong: list[float], message: str, pattern: Callable) -> None:
    with pytest.raises(DataError, match=message):
        policy({"op": operation}).replay(pattern(16, 16, 3), np.array(wrong), pattern(16, 16, 3))


def test_mixing_images_of_several_sizes_is_refused() -> None:
    with pytest.raises(ValidationError, match="put them behind crop"):
        policy({"op": "mixup"}, {"op": "crop"})


def test_token_dropout_leaves_out_about_its_share_of_words_in_order_and_never_all() -> None:
    views = policy({"op": "token_dropout", "share": [0.3, 0.3]}, count=2)
    text = " ".join(f"w{i}" for i in range(50))
    drawn = drawn_captions(views, views.draw([str(i) for i in range(200)]))
    assert drawn is not None
    texts = [str(pick_caption(text, row)) for row in drawn.tolist()]
    assert set(texts[::2]) == {text}  # plain views are whole
    left = [len(one.split()) for one in texts[1::2]]
    assert np.mean(left) == pytest.approx(35, abs=1.5) and len(set(texts[1::2])) > 190
    for one in texts:
        words = [int(word[1:]) for word in one.split()]
        assert words == sorted(words)
    assert texts == [pick_caption(text, row) for row in drawn.copy().tolist()]
    whole = policy({"op": "token_dropout", "share": [1.0, 1.0]}, count=2)
    drawn = drawn_captions(whole, whole.draw(["a"]))
    assert drawn is not None and pick_caption("one two three", drawn[1].tolist()) in ("one", "two", "three")


def test_dropout_of_a_chosen_caption() -> None:
    views = policy({"op": "caption"}, {"op": "token_dropout", "share": [0.5, 0.5]}, count=4)
    drawn = drawn_captions(views, views.draw(IDS))
    assert drawn is not None
    found = {pick_caption(["a b c d e f", "1 2 3 4 5 6"], row) for row in drawn.tolist()}
    assert {str(one)[0].isdigit() for one in found} == {True, False} and len(found) > 20


def test_two_operations_that_draw_the_text_are_refused() -> None:
    with pytest.raises(ValidationError, match="once is enough"):
        policy({"op": "caption"}, {"op": "caption"})
