"""In which order contestants take their turns, so that what one leaves behind for the next cancels."""


def balanced_orders(count: int) -> tuple[tuple[int, ...], ...]:
    """Orders of ``count`` contestants in which each stands in every place, and right after every other, equally often (Williams 1949).

    There are ``count`` of them, or twice as many for an odd count.
    """
    zigzag = [0]
    for step in range(1, count):
        zigzag.append((zigzag[-1] + (step if step % 2 else -step)) % count)
    orders = [tuple((place + shift) % count for place in zigzag) for shift in range(count)]
    if count % 2 and count > 1:
        orders += [order[::-1] for order in orders]
    return tuple(orders)
