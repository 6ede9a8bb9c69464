from soaklib.gateway.cache import TtlCache


def test_a_value_is_good_for_its_time(fake_time):
    """It is there until its time is over, and gone from then on."""
    cache = TtlCache(capacity=2, monotonic=fake_time.monotonic)
    cache.put(b"k", 1, 60.0)
    fake_time.now_s = 59.999
    assert cache.get(b"k") == 1
    fake_time.now_s = 60.0
    assert (cache.get(b"k"), len(cache)) == (None, 0)


def test_the_least_recently_used_goes_first(fake_time):
    """A full cache drops what was not asked for the longest."""
    cache = TtlCache(capacity=2, monotonic=fake_time.monotonic)
    cache.put(b"a", 1, 60.0)
    cache.put(b"b", 2, 60.0)
    cache.get(b"a")
    cache.put(b"c", 3, 60.0)
    assert [cache.get(key) for key in (b"a", b"b", b"c")] == [1, None, 3]
