from soaklib.gateway.cache import Kept, new_cache


def test_a_value_is_good_for_its_time(fake_time):
    """It is there until its time is over, and gone from then on."""
    cache = new_cache(capacity=2, monotonic=fake_time.monotonic)
    cache[b"k"], cache[b"longer"] = Kept(1, 60.0), Kept(2, 90.0)
    fake_time.now_s = 59.999
    assert cache.get(b"k").data == 1
    fake_time.now_s = 60.0
    assert (cache.get(b"k"), cache.get(b"longer").data, len(cache)) == (None, 2, 1)


def test_the_least_recently_used_goes_first(fake_time):
    """A full cache drops what was not asked for the longest."""
    cache = new_cache(capacity=2, monotonic=fake_time.monotonic)
    cache[b"a"] = Kept(1, 60.0)
    cache[b"b"] = Kept(2, 60.0)
    cache.get(b"a")
    cache[b"c"] = Kept(3, 60.0)
    assert [None if kept is None else kept.data for kept in map(cache.get, (b"a", b"b", b"c"))] == [1, None, 3]
