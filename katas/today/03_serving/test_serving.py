"""Specs of today/03 · Serving."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from grader.specs import check

B, H, H_KV, D, BLOCK = 2, 6, 2, 4, 3


# Oracles: entry by entry, row by row.


def written(cache, new, positions):
    """A copy of the cache (B, H, T_max, D) with each new entry in its place."""
    cache = cache.clone()
    for b in range(new.size(0)):
        for j in range(new.size(2)):
            cache[b, :, positions[b, j]] = new[b, :, j]
    return cache


def attended(
    q, k, v, root=None, reads=lambda h, heads, key_heads: h // (heads // key_heads)
):
    """One query per head, (H, D), on the keys and values (T, H_kv, D) of its row."""
    q, k, v = q.double(), k.double(), v.double()
    out = []
    for h in range(q.size(0)):
        head = reads(h, q.size(0), k.size(1))
        weights = (k[:, head] @ q[h] / (root or math.sqrt(q.size(1)))).softmax(0)
        out.append(weights @ v[:, head])
    return torch.stack(out)


def paged(q, k_pool, v_pool, block_table, lengths, **slip):
    """Paged attention: each row's tokens are collected one by one."""
    size, out = k_pool.size(1), []
    for b, length in enumerate(lengths.tolist()):
        places = [(block_table[b, t // size], t % size) for t in range(length)]
        out.append(
            attended(
                q[b],
                *(torch.stack([pool[p] for p in places]) for pool in (k_pool, v_pool)),
                **slip,
            )
        )
    return torch.stack(out)


def pools(num_blocks, size=BLOCK, key_heads=H_KV):
    return torch.randn(2, num_blocks, size, key_heads, D).unbind(0)


def two(made, *shape):
    """Two tensors of this shape, for keys and for values."""
    return made(shape), made(shape)


def blocks_of(request, size):
    return math.ceil((request.prompt_tokens + request.max_new_tokens) / size)


class Chain(nn.Module):
    """A model whose next token depends on the last one only. Row i of `table` has the
    probabilities behind token i.
    It notes the lengths that it was called with, its modes, and whether gradients
    were on.
    """

    def __init__(self, table):
        super().__init__()
        self.config = SimpleNamespace(block_size=10_000, vocab_size=len(table))
        self.table = nn.Parameter(torch.as_tensor(table, dtype=torch.float64).log())
        self.part = nn.Dropout(0.5)
        self.lengths, self.modes, self.gradients = [], [], []

    def forward(self, idx):
        self.lengths.append(idx.size(1))
        self.modes.append(self.training or self.part.training)
        self.gradients.append(torch.is_grad_enabled())
        return self.table[idx], None


def sure(following, doubt=1e-4):
    """A Chain that is nearly sure that following[i] comes behind token i."""
    table = torch.full((len(following), len(following)), doubt)
    table[range(len(following)), following] = 1.0
    return Chain(table / table.sum(1, keepdim=True))


def small_gpt(kata, seed, **changes):
    """A GPT in float64 with large random weights. Its best token depends on everything
    before it.
    """
    sizes = {
        "block_size": 24,
        "vocab_size": 11,
        "n_layer": 2,
        "n_head": 2,
        "n_embd": 16,
        "dropout": 0.3,
    } | changes
    model = kata.GPT(kata.GPTConfig(**sizes)).double()
    source = torch.Generator().manual_seed(seed)
    weights = model.state_dict()
    for name in sorted(weights.keys() - {"lm_head.weight"}):
        if weights[name].ndim == 2:
            weights[name].copy_(
                0.7
                * torch.randn(
                    weights[name].shape, generator=source, dtype=torch.float64
                )
            )
    return model


def closer(kata, seed):
    """A draft: the model of that seed with a little noise on each weight. It is often
    right and sometimes wrong.
    """
    model, source = small_gpt(kata, seed), torch.Generator().manual_seed(99)
    weights = model.state_dict()
    for name in sorted(weights.keys() - {"lm_head.weight"}):
        if weights[name].ndim == 2:
            weights[name].add_(
                0.1
                * torch.randn(
                    weights[name].shape, generator=source, dtype=torch.float64
                )
            )
    return model


class TestStaticCacheWrite:
    def test_each_row_at_positions_of_its_own(self, kata):
        """Row 0 is a new request at 0 and 1. Row 1 has four tokens already, so its new
        ones go to 4 and 5. The heads all get theirs at the same positions.
        """
        k_cache, v_cache = two(torch.randn, B, 3, 7, D)
        k, v = two(torch.randn, B, 3, 2, D)
        positions = torch.tensor([[0, 1], [4, 5]])
        before = {"k_cache": k_cache.clone(), "v_cache": v_cache.clone()}
        first = positions[:1].expand(B, -1)
        kata.static_cache_write(k_cache, v_cache, k, v, positions)
        for name, got, new in (("k_cache", k_cache, k), ("v_cache", v_cache, v)):
            wrong = {
                (
                    "nothing written: the buffer moved, and the caller still has the "
                    "old one"
                ): before[name],
                "the positions of row 0 in every row": written(
                    before[name], new, first
                ),
            }
            check.equal(
                got, written(before[name], new, positions), unlike=wrong, what=name
            )

    def test_values_go_to_the_values(self, kata):
        """Two buffers, two tensors. Keys are 1 here, and values 2."""
        k_cache, v_cache = two(torch.zeros, B, 3, 5, D)
        ones = torch.ones(B, 3, 1, D)
        kata.static_cache_write(
            k_cache, v_cache, ones, 2 * ones, torch.tensor([[3], [0]])
        )
        check.equal(
            [k_cache.max().item(), v_cache.max().item()],
            [1.0, 2.0],
            what="the largest key and value",
        )

    @given(data=st.data())
    def test_any_positions_in_any_order(self, kata, data):
        """Positions need not be neighbours nor rise. What is not written keeps
        its number.
        """
        rows, heads, new, size = (data.draw(st.integers(1, 3)) for _ in range(4))
        length = new + data.draw(st.integers(0, 3), label="places left over")
        places = st.permutations(range(length)).map(lambda order: order[:new])
        positions = torch.tensor([data.draw(places) for _ in range(rows)])
        k_cache, v_cache = two(torch.randn, rows, heads, length, size)
        k, v = two(torch.randn, rows, heads, new, size)
        expected = [written(k_cache, k, positions), written(v_cache, v, positions)]
        kata.static_cache_write(k_cache, v_cache, k, v, positions)
        check.equal([k_cache, v_cache], expected)

    def test_the_buffer_stays_in_its_memory(self, kata):
        """A server takes the memory once. A buffer that is replaced costs a copy
        per token.
        """
        k_cache, v_cache = two(torch.zeros, B, 3, 5, D)
        addresses = k_cache.data_ptr(), v_cache.data_ptr()
        k, v = two(torch.randn, B, 3, 2, D)
        kata.static_cache_write(k_cache, v_cache, k, v, torch.tensor([[0, 1], [2, 3]]))
        check.that(
            addresses == (k_cache.data_ptr(), v_cache.data_ptr()),
            "the buffer moved to other memory",
        )
        check.that(
            bool(k_cache.any()) and bool(v_cache.any()),
            "nothing was written into the buffers",
        )

    def test_a_gpt_writes_the_same_tokens_over_it(self, kata):
        """StaticLayerCache calls your function. 26's GPT takes one per layer, and
        writes what 27's generate writes.
        """
        model, idx = small_gpt(kata, 3).eval(), torch.tensor([[1, 2, 3], [7, 5, 10]])
        expected = kata.generate(model, idx, 9, temperature=0.0, use_cache=True)
        caches = [kata.StaticLayerCache(2, 2, 12, 8, torch.float64) for _ in range(2)]
        new = idx
        with torch.no_grad():
            for _ in range(9):
                new = model(new, cache=caches)[0][:, -1].argmax(-1, keepdim=True)
                idx = torch.cat([idx, new], dim=1)
        check.equal(idx, expected, what="the tokens")

    @pytest.mark.edge
    @pytest.mark.parametrize("outside", [5, -1])
    def test_a_position_outside_is_an_error(self, kata, outside):
        """A request must not outgrow its row, and −1 is no place. The entry before it
        is not written either.
        """
        k_cache, v_cache = two(torch.zeros, B, 3, 5, D)
        k, v = two(torch.randn, B, 3, 2, D)
        with check.raises(IndexError):
            kata.static_cache_write(
                k_cache, v_cache, k, v, torch.tensor([[0, 1], [4, outside]])
            )
        check.that(
            not k_cache.any() and not v_cache.any(),
            "something was written before the error",
        )


def allocator(kata, num_blocks, *taken):
    """An allocator from which blocks were taken, `taken` at a time."""
    made = kata.BlockAllocator(num_blocks)
    for n in taken:
        made.allocate(n)
    return made


class TestBlockAllocatorAllocate:
    def test_a_new_pool_gives_its_first_blocks(self, kata):
        """All are free, so three blocks are 0, 1 and 2."""
        check.equal(kata.BlockAllocator(7).allocate(3), [0, 1, 2])

    def test_no_block_is_given_out_twice(self, kata):
        """The second request gets others. A block that two requests write to holds
        neither's tokens.
        """
        blocks = kata.BlockAllocator(7)
        first, second = blocks.allocate(3), blocks.allocate(2)
        twice = sorted(set(first) & set(second))
        check.that(
            not twice,
            f"two requests hold block {twice[0] if twice else ''}: got {first}, then "
            f"{second}",
        )
        check.equal(second, [3, 4], what="the second request's blocks")

    def test_each_block_gets_one_reference(self, kata):
        """The count is what `free` goes by later. num_free falls with it."""
        blocks = allocator(kata, 5, 3)
        check.equal(list(blocks.references), [1, 1, 1, 0, 0], what="references")
        check.equal(blocks.num_free, 2, what="num_free")

    def test_the_last_block_can_be_had(self, kata):
        """Four blocks, and a request for all of them. After that, one for none
        is fine.
        """
        blocks = kata.BlockAllocator(4)
        check.equal(blocks.allocate(4), [0, 1, 2, 3])
        check.equal(blocks.allocate(0), [])

    def test_too_few_is_an_error_and_takes_none(self, kata):
        """A request with half its blocks could neither run nor wait: the blocks would
        be lost.
        """
        blocks = allocator(kata, 5, 2)
        with check.raises(RuntimeError):
            blocks.allocate(4)
        unlike = {"blocks are taken before there are enough": [1] * 5}
        check.equal(
            list(blocks.references),
            [1, 1, 0, 0, 0],
            unlike=unlike,
            what="references after the error",
        )


class TestBlockAllocatorShare:
    def test_one_reference_more(self, kata):
        """A second request uses blocks 0 and 2."""
        blocks = allocator(kata, 5, 3)
        blocks.share([0, 2])
        check.equal(list(blocks.references), [2, 1, 2, 0, 0], what="references")

    def test_many_may_share(self, kata):
        """A system prompt is the beginning of every request."""
        blocks = allocator(kata, 3, 1)
        for _ in range(4):
            blocks.share([0])
        check.equal(list(blocks.references), [5, 0, 0], what="references")
        check.equal(blocks.num_free, 2, what="num_free")

    @pytest.mark.edge
    def test_a_free_block_cannot_be_shared(self, kata):
        """Nobody has written to block 2. The message names it."""
        blocks = allocator(kata, 3, 2)
        with check.raises(ValueError, 2):
            blocks.share([2])


class TestBlockAllocatorFree:
    def test_a_block_of_one_request_is_free_again(self, kata):
        """Blocks 0 and 2 come back, and the next request gets them."""
        blocks = allocator(kata, 5, 4)
        blocks.free([0, 2])
        check.equal(list(blocks.references), [0, 1, 0, 1, 0], what="references")
        check.equal(blocks.num_free, 3, what="num_free")
        check.equal(
            sorted(blocks.allocate(3)), [0, 2, 4], what="the blocks of the next request"
        )

    def test_a_shared_block_stays_until_the_last_one_leaves(self, kata):
        """Two requests read block 1. When one ends, the other still needs it."""
        blocks = allocator(kata, 3, 2)
        blocks.share([1])
        blocks.free([1])
        check.that(
            blocks.num_free == 1,
            "the first free returned a shared block: the other request still reads it",
        )
        blocks.free([1])
        check.equal(blocks.num_free, 2, what="num_free after the second free")

    @given(data=st.data())
    def test_blocks_are_conserved_after_any_history(self, kata, data):
        """Whatever is taken, shared and freed: each block has as many references as it
        has users.
        """
        size = data.draw(st.integers(1, 5), label="blocks")
        blocks, users = kata.BlockAllocator(size), [0] * size
        for step in data.draw(
            st.lists(st.sampled_from(["allocate", "share", "free"]), max_size=12),
            label="history",
        ):
            used = [block for block in range(size) if users[block]]
            if step == "allocate":
                n = data.draw(st.integers(0, users.count(0)), label="n")
                got = blocks.allocate(n)
                check.that(len(set(got)) == len(got) == n, f"allocate({n}) gave {got}")
                check.that(
                    not any(users[block] for block in got),
                    f"allocate gave {got}, with {used} in use",
                )
                for block in got:
                    users[block] = 1
            elif used:
                block = data.draw(st.sampled_from(used), label="block")
                getattr(blocks, step)([block])
                users[block] += 1 if step == "share" else -1
            check.equal(list(blocks.references), users, what=f"references after {step}")
        check.equal(blocks.num_free, users.count(0), what="num_free")

    @pytest.mark.edge
    def test_a_free_block_cannot_be_freed(self, kata):
        """Two ends of one request are a bug: the block may be somebody else's by then.
        The message names it.
        """
        blocks = allocator(kata, 3, 2)
        with check.raises(ValueError, 2):
            blocks.free([2])
        with check.raises(ValueError, 0):
            blocks.free([0, 0])


@st.composite
def tables(draw):
    """Rows of any length, with blocks from anywhere in a pool."""
    size = draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    needed = [-(-length // size) for length in lengths]
    order = draw(st.permutations(range(sum(needed) + 2)))
    rows, width = [], max(needed)
    for n in needed:
        rows.append(order[:n] + [-1] * (width - n))
        order = order[n:]
    return size, torch.tensor(rows), torch.tensor(lengths)


class TestPagedAttention:
    def test_one_block_is_plain_attention(self, kata):
        """One row whose three tokens fill block 1, and as many key heads as query
        heads: 25's attention.
        """
        q, (k_pool, v_pool) = torch.randn(1, 2, D), pools(2, key_heads=2)
        got = kata.paged_attention(
            q, k_pool, v_pool, torch.tensor([[1]]), torch.tensor([3])
        )
        wrong = {
            "not divided by √D": attended(q[0], k_pool[1], v_pool[1], root=1.0)[None],
            "block 0, not the table's": attended(q[0], k_pool[0], v_pool[0])[None],
        }
        check.close(got, attended(q[0], k_pool[1], v_pool[1])[None], unlike=wrong)

    def test_rows_of_any_length(self, kata):
        """Lengths 1, a full block, one token more, six, and 2. The last block of a row
        is seldom full, and −1 ends it. Query heads 0, 1, 2 read key head 0.
        """
        q, (k_pool, v_pool) = torch.randn(5, H, D), pools(8)
        table = torch.full((5, 7), -1)
        table[:, 0], table[2:4, 1] = torch.tensor([5, 2, 6, 7, 3]), torch.tensor([0, 1])
        lengths = torch.tensor([1, BLOCK, BLOCK + 1, 2 * BLOCK, 2])
        full = (table >= 0).sum(1) * BLOCK
        wrong = {
            "the last block attended to its end": paged(q, k_pool, v_pool, table, full),
            "−1 read as the last block, and attended to": paged(
                q, k_pool, v_pool, table, torch.full((5,), 9)
            ),
            "query head 1 reads key head 1": paged(
                q,
                k_pool,
                v_pool,
                table,
                lengths,
                reads=lambda h, heads, key_heads: h % key_heads,
            ),
            "the newest token left out": paged(
                q, k_pool, v_pool, table, (lengths - 1).clamp(min=1)
            ),
            "the blocks in the pool's order": paged(
                q,
                k_pool,
                v_pool,
                table.masked_fill(table < 0, 9).sort(1).values,
                lengths,
            ),
        }
        got = kata.paged_attention(q, k_pool, v_pool, table, lengths)
        check.close(got, paged(q, k_pool, v_pool, table, lengths), unlike=wrong)

    def test_unused_places_do_not_count(self, kata):
        """A pool is full of what others left behind. Here every place that is not the
        row's holds 10,000.
        """
        q, table, lengths = (
            torch.randn(2, H, D),
            torch.tensor([[3, 1], [0, -1]]),
            torch.tensor([4, 2]),
        )
        clean = pools(5)
        expected, used = (
            paged(q, *clean, table, lengths),
            torch.zeros(5, BLOCK, dtype=torch.bool),
        )
        for b in range(2):
            for t in range(lengths[b]):
                used[table[b, t // BLOCK], t % BLOCK] = True
        dirty = [pool.masked_fill(~used[:, :, None, None], 1e4) for pool in clean]
        got = kata.paged_attention(q, *dirty, table, lengths)
        check.close(
            got,
            expected,
            what="the result with 10,000 in all places that are not the row's",
        )

    @given(case=tables())
    def test_any_blocks_of_any_size(self, kata, case):
        """Any number of rows, blocks and tokens, the blocks anywhere in the pool."""
        size, table, lengths = case
        q, (k_pool, v_pool) = (
            torch.randn(len(table), H, D),
            pools(int(table.max()) + 2, size),
        )
        got = kata.paged_attention(q, k_pool, v_pool, table, lengths)
        check.close(got, paged(q, k_pool, v_pool, table, lengths))

    @given(case=tables(), data=st.data())
    def test_where_the_blocks_lie_does_not_matter(self, kata, case, data):
        """Move every block to another place of the pool and change the table with it:
        nothing else changes.
        """
        size, table, lengths = case
        count = int(table.max()) + 1
        order = torch.tensor(data.draw(st.permutations(range(count)), label="order"))
        q, (k_pool, v_pool) = torch.randn(len(table), H, D), pools(count, size)
        moved = torch.where(table < 0, table, order.argsort()[table.clamp(min=0)])
        got = kata.paged_attention(q, k_pool[order], v_pool[order], moved, lengths)
        check.close(got, kata.paged_attention(q, k_pool, v_pool, table, lengths))

    @pytest.mark.edge
    def test_unused_places_may_hold_nan(self, kata):
        """Memory that nobody has written to holds anything. A weight of 0 does not
        help: 0 · NaN is NaN.
        """
        q, (k_pool, v_pool) = torch.randn(1, H, D), pools(3)
        table, lengths = torch.tensor([[1, -1]]), torch.tensor([2])
        expected = paged(q, k_pool, v_pool, table, lengths)
        for pool in (k_pool, v_pool):
            pool[1, 2], pool[0], pool[2] = math.nan, math.nan, math.nan
        check.close(kata.paged_attention(q, k_pool, v_pool, table, lengths), expected)


def request(kata, name, prompt=6, new=4, computed=0, generated=0):
    return kata.Request(name, prompt, new, computed=computed, generated=generated)


@pytest.mark.stretch
class TestScheduleBatch:
    def test_a_request_that_writes_computes_one_token(self, kata):
        """Its prompt is computed, and each step gives it one new token."""
        running = [
            request(kata, 4, computed=6, generated=1),
            request(kata, 2, computed=6, generated=3),
        ]
        check.equal(kata.schedule_batch(running, [], 8, 0, 4), {4: 1, 2: 1})

    def test_the_budget_may_not_reach_for_all(self, kata):
        """With a budget of 2, the first two of three compute. The third is not in the
        plan, not even with 0.
        """
        running = [request(kata, name, computed=6, generated=1) for name in (4, 2, 7)]
        wrong = {"a request with 0 tokens in the plan": {4: 1, 2: 1, 7: 0}}
        check.equal(
            kata.schedule_batch(running, [], 2, 0, 4), {4: 1, 2: 1}, unlike=wrong
        )

    def test_a_long_prompt_comes_in_chunks(self, kata):
        """20 tokens, 9 of them computed, and a budget of 8: 8 now, 3 later. With a
        budget of 16 it is the rest, 11.
        """
        running = [request(kata, 4, prompt=20, computed=9)]
        for budget, expected in ((8, {4: 8}), (16, {4: 11})):
            check.equal(
                kata.schedule_batch(running, [], budget, 0, 4),
                expected,
                what=f"with a budget of {budget}",
            )

    def test_those_who_write_come_before_prompts(self, kata):
        """The prompt is older, and would take the whole budget. Whoever writes would
        stand still in the middle of a sentence.
        """
        running = [
            request(kata, 1, prompt=20, computed=3),
            request(kata, 2, computed=6, generated=2),
        ]
        wrong = {"prompts before those who write": {1: 8}}
        check.equal(
            kata.schedule_batch(running, [], 8, 0, 4), {2: 1, 1: 7}, unlike=wrong
        )

    def test_prompts_get_the_rest_in_order(self, kata):
        """Of 8 tokens, one goes to the request that writes, five finish a prompt, and
        two begin the next one.
        """
        running = [
            request(kata, 1, prompt=9, computed=4),
            request(kata, 2, computed=6, generated=2),
            request(kata, 3, prompt=9, computed=0),
        ]
        check.equal(kata.schedule_batch(running, [], 8, 0, 4), {2: 1, 1: 5, 3: 2})

    def test_a_waiting_request_needs_all_its_blocks(self, kata):
        """4 prompt tokens and 5 new ones need three blocks of 4. With one or two it
        waits, with three it starts.
        """
        waiting = [request(kata, 4, prompt=4, new=5)]
        slips = {
            1: "blocks for the prompt alone: it would have to stop when they are full",
            2: "rounded down: the ninth token has no block",
        }
        for free, said in slips.items():
            got = kata.schedule_batch([], waiting, 8, free, 4)
            check.equal(got, {}, unlike={said: {4: 4}}, what=f"with {free} free blocks")
        check.equal(
            kata.schedule_batch([], waiting, 8, 3, 4), {4: 4}, what="with 3 free blocks"
        )

    def test_full_blocks_are_enough(self, kata):
        """5 and 3 are 8 tokens: exactly two blocks of 4."""
        check.equal(
            kata.schedule_batch([], [request(kata, 4, prompt=5, new=3)], 8, 2, 4),
            {4: 5},
        )

    def test_each_start_takes_its_blocks(self, kata):
        """Two requests of two blocks each, and three blocks: only the first one starts.
        Five tokens are two blocks, also when the blocks that are left are counted.
        """
        waiting = [request(kata, name, prompt=3, new=2) for name in (4, 2)]
        wrong = {"the blocks of the first were given out again": {4: 3, 2: 3}}
        check.equal(kata.schedule_batch([], waiting, 8, 3, 4), {4: 3}, unlike=wrong)
        check.equal(
            kata.schedule_batch([], waiting, 8, 4, 4),
            {4: 3, 2: 3},
            what="with 4 free blocks",
        )

    def test_nobody_overtakes(self, kata):
        """The first request needs five blocks, the second one. A small one that
        overtakes would be followed by others, and the large one would wait for ever.
        """
        waiting = [
            request(kata, 4, prompt=16, new=4),
            request(kata, 2, prompt=2, new=2),
        ]
        wrong = {"the second request overtook the first": {2: 2}}
        check.equal(kata.schedule_batch([], waiting, 8, 4, 4), {}, unlike=wrong)

    def test_a_request_does_not_wait_for_prompts(self, kata):
        """A server with a budget of 4 meets a prompt of 24 tokens. The request that
        writes gets one token in each step.
        """
        requests = [kata.Request(0, 2, 9), kata.Request(1, 24, 2, arrived=1)]
        log = kata.serve(requests, 4, 16, 4, kata.schedule_batch)["log"]
        steps = [i for i, plan in enumerate(log) if 0 in plan]
        waited = (
            max(after - before for before, after in zip(steps, steps[1:], strict=False))
            - 1
        )
        check.that(
            waited == 0,
            f"a running request waited {waited} steps while a prompt was computed",
        )

    @given(data=st.data())
    def test_every_load_is_served(self, kata, data):
        """Any requests: no step exceeds the budget or the blocks, all end, and they
        start in order of arrival.
        """
        budget, size = (
            data.draw(st.integers(1, 9), label="budget"),
            data.draw(st.integers(1, 4), label="block size"),
        )
        sizes = st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(0, 3))
        load, arrived, requests = (
            data.draw(st.lists(sizes, min_size=1, max_size=5), label="load"),
            0,
            [],
        )
        for name, (prompt, new, later) in enumerate(load):
            arrived += later
            requests.append(kata.Request(name, prompt, new, arrived))
        blocks = max(blocks_of(one, size) for one in requests) + data.draw(
            st.integers(0, 4), label="spare blocks"
        )
        result = kata.serve(requests, budget, blocks, size, kata.schedule_batch)
        check.equal(
            sorted(result["finished"]),
            [one.id for one in requests],
            what="requests that ended",
        )
        due = sum(one.prompt_tokens + one.max_new_tokens - 1 for one in requests)
        check.equal(
            result["tokens"],
            due,
            what="tokens computed: each prompt, and all new tokens but the last",
        )
        started = []
        for step, plan in enumerate(result["log"]):
            used = sum(plan.values())
            check.that(
                used <= budget,
                f"step {step} computes {used} tokens with a budget of {budget}",
            )
            check.that(
                0 not in plan.values(),
                f"step {step} has a request with 0 tokens: {plan}",
            )
            started += [name for name in sorted(plan) if name not in started]
            held = sum(
                blocks_of(requests[name], size)
                for name in started
                if result["finished"][name] > step
            )
            check.that(
                held <= blocks, f"step {step} has {held} blocks in use, of {blocks}"
            )
        check.equal(
            started, sorted(started), what="requests in the order in which they started"
        )

    @pytest.mark.edge
    def test_only_plans(self, kata):
        """The server does what the plan says. A plan that already counts tokens would
        have them counted twice.
        """
        running, waiting = (
            [request(kata, 1, computed=6, generated=1)],
            [request(kata, 2)],
        )
        kata.schedule_batch(running, waiting, 8, 8, 4)
        found = [(one.id, one.computed, one.generated) for one in [*running, *waiting]]
        check.equal(
            found,
            [(1, 6, 1), (2, 0, 0)],
            what="(id, computed, generated) of the requests",
        )
        check.equal(
            [len(running), len(waiting)],
            [1, 1],
            what="how many are running and waiting",
        )


def tables_of(blocks, **counts):
    """{id: its blocks}, for "a=2, b=1" with the ids 0, 1, …, the oldest first."""
    return {name: blocks.allocate(count) for name, count in enumerate(counts.values())}


@pytest.mark.stretch
class TestGrowOrPreempt:
    def test_a_token_that_fits_takes_no_block(self, kata):
        """Two blocks of 4 hold 7 tokens, and 8."""
        blocks = kata.BlockAllocator(5)
        for length in (7, 8):
            tables = {6: [0, 1]}
            check.equal(
                kata.grow_or_preempt(tables, {6: length}, blocks, 4),
                [],
                what="the preempted requests",
            )
            check.equal(tables, {6: [0, 1]}, what=f"the tables, with {length} tokens")
        check.equal(blocks.num_free, 5, what="num_free")

    def test_the_next_token_takes_the_next_block(self, kata):
        """Nine tokens need three blocks of 4. The new one goes behind the others, as
        the table is in order.
        """
        blocks = kata.BlockAllocator(5)
        tables = {6: blocks.allocate(2)}
        kata.grow_or_preempt(tables, {6: 9}, blocks, 4)
        check.equal(tables, {6: [0, 1, 2]}, what="the tables")
        check.equal(list(blocks.references), [1, 1, 1, 0, 0], what="references")

    def test_a_prompt_takes_several(self, kata):
        """A request that has just come has no block yet, and 9 tokens."""
        blocks = kata.BlockAllocator(5)
        tables = {6: []}
        kata.grow_or_preempt(tables, {6: 9}, blocks, 4)
        check.equal(tables, {6: [0, 1, 2]}, what="the tables")

    def test_the_youngest_gives_way(self, kata):
        """The pool is full, and the oldest of three requests needs a block. The
        youngest has done the least work that would be done again. The one between
        them stays.
        """
        blocks = kata.BlockAllocator(5)
        tables = tables_of(blocks, oldest=2, middle=1, youngest=2)
        wrong = {
            "the oldest request gave way": [0],
            "all were preempted: a table was dropped, and its blocks never freed": [
                2,
                1,
                0,
            ],
        }
        got = kata.grow_or_preempt(tables, {0: 9, 1: 4, 2: 8}, blocks, 4)
        check.equal(got, [2], unlike=wrong, what="the preempted requests")
        check.equal(tables, {0: [0, 1, 3], 1: [2]}, what="the tables")
        check.equal(
            list(blocks.references),
            [1, 1, 1, 1, 0],
            what="references: block 4 is free again",
        )

    def test_it_may_give_way_to_nobody(self, kata):
        """The youngest itself needs the block. It gives its own back, and an older one
        does not suffer for it.
        """
        blocks = kata.BlockAllocator(3)
        tables = {7: blocks.allocate(2), 3: blocks.allocate(1)}
        unlike = {"the largest id, not the last in tables": [7]}
        got = kata.grow_or_preempt(tables, {7: 8, 3: 5}, blocks, 4)
        check.equal(got, [3], unlike=unlike, what="the preempted requests")
        check.equal(tables, {7: [0, 1]}, what="the tables")
        check.equal(blocks.num_free, 1, what="num_free")

    def test_the_oldest_is_served_first(self, kata):
        """Two requests need a block, and one is free."""
        blocks = kata.BlockAllocator(3)
        tables = tables_of(blocks, oldest=1, youngest=1)
        check.equal(
            kata.grow_or_preempt(tables, {0: 5, 1: 5}, blocks, 4),
            [1],
            what="the preempted requests",
        )
        check.equal(tables, {0: [0, 2]}, what="the tables")

    def test_a_shared_block_frees_nothing(self, kata):
        """The youngest shares block 0 with the oldest and has no other, so the next
        youngest has to go, too.
        """
        blocks = kata.BlockAllocator(3)
        tables = tables_of(blocks, oldest=2, middle=1)
        blocks.share([0])
        tables[9] = [0]
        got = kata.grow_or_preempt(tables, {0: 9, 1: 4, 9: 4}, blocks, 4)
        check.equal(got, [9, 1], what="the preempted requests")
        check.equal(tables, {0: [0, 1, 2]}, what="the tables")

    @given(data=st.data())
    def test_blocks_and_requests_are_conserved(self, kata, data):
        """Any texts in any pool: who stays has room enough and no more, who goes was
        younger, and no block is lost.
        """
        size = data.draw(st.integers(1, 3), label="block size")
        held = data.draw(
            st.lists(st.integers(0, 3), min_size=1, max_size=4), label="blocks held"
        )
        grown = [
            size * n + data.draw(st.integers(0, 2 * size), label="new tokens")
            for n in held
        ]
        blocks = kata.BlockAllocator(
            sum(held) + data.draw(st.integers(0, 3), label="free blocks")
        )
        tables = {name: blocks.allocate(n) for name, n in enumerate(held)}
        got = kata.grow_or_preempt(tables, dict(enumerate(grown)), blocks, size)
        check.equal(
            [*tables, *reversed(got)],
            list(range(len(held))),
            what="who stays, then who went, last one first",
        )
        counts = [len(table) for table in tables.values()]
        check.equal(
            counts,
            [math.ceil(grown[name] / size) for name in tables],
            what="blocks per request",
        )
        users = [
            sum(block in table for table in tables.values())
            for block in range(len(blocks.references))
        ]
        check.equal(list(blocks.references), users, what="references")


def index_of(tokens, size, first=0):
    """The full blocks of one request, by their whole prefix."""
    return {
        tuple(tokens[: end * size]): first + end - 1
        for end in range(1, len(tokens) // size + 1)
    }


class TestReusePrefix:
    def test_full_blocks_of_the_same_beginning(self, kata):
        """A request began with 5 1 4 9 2 2 and left blocks 30, 31 and 32. Ours has the
        first four tokens of these.
        """
        index = index_of([5, 1, 4, 9, 2, 2], 2, first=30)
        wrong = {"the number of blocks, not of tokens": ([30, 31], 2)}
        check.equal(
            kata.reuse_prefix([5, 1, 4, 9, 7, 7, 7], index, 2),
            ([30, 31], 4),
            unlike=wrong,
        )

    def test_nothing_in_common(self, kata):
        """Another first token: no block fits. An empty index has none either."""
        index = index_of([5, 1, 4, 9], 2)
        check.equal(kata.reuse_prefix([6, 1, 4, 9, 3], index, 2), ([], 0))
        check.equal(
            kata.reuse_prefix([6, 1, 4, 9, 3], {}, 2),
            ([], 0),
            what="with an empty index",
        )

    def test_equal_tokens_behind_another_start_are_not_reused(self, kata):
        """Both requests have 4 9 in their second block, behind 5 1 and 6 1. The keys
        and values of 4 and 9 depend on all that comes before them, so these
        blocks differ.
        """
        index = index_of([5, 1, 4, 9], 2, first=30) | index_of([6, 1], 2, first=40)
        wrong = {
            "the block of 'b a' was given to 'c a': its own tokens are no key": (
                [40, 31],
                4,
            )
        }
        check.equal(
            kata.reuse_prefix([6, 1, 4, 9, 3], index, 2), ([40], 2), unlike=wrong
        )

    def test_the_run_ends_at_the_first_gap(self, kata):
        """The second block was thrown out, and the third is still there. Attention
        needs all of them, so the third one is of no use.
        """
        index = index_of([5, 1, 4, 9, 2, 2], 2, first=30)
        del index[5, 1, 4, 9]
        wrong = {"went on behind the gap": ([30, 32], 4)}
        check.equal(
            kata.reuse_prefix([5, 1, 4, 9, 2, 2, 8], index, 2), ([30], 2), unlike=wrong
        )

    def test_the_last_token_is_computed(self, kata):
        """The whole prompt is in the index. Its last token still has to go through the
        model, for logits of the next one: the last block is computed anew.
        """
        tokens = [5, 1, 4, 9]
        wrong = {
            "the whole prompt reused: nothing is left that could give logits": (
                [30, 31],
                4,
            )
        }
        check.equal(
            kata.reuse_prefix(tokens, index_of(tokens, 2, first=30), 2),
            ([30], 2),
            unlike=wrong,
        )

    def test_a_half_full_block_is_none(self, kata):
        """Five tokens and blocks of three: the block that 9 2 would begin is not full.
        An index may hold such a key for another block size.
        """
        index = {(5, 1, 4): 30, (5, 1, 4, 9): 31}
        wrong = {"a block that is not full": ([30, 31], 4)}
        check.equal(
            kata.reuse_prefix([5, 1, 4, 9, 2], index, 3), ([30], 3), unlike=wrong
        )

    @given(data=st.data())
    def test_any_prompt_after_any_others(self, kata, data):
        """Prompts of two different tokens have much in common. What is reused has been
        computed for the same prefix.
        """
        size = data.draw(st.integers(1, 3), label="block size")
        prompt = st.lists(st.integers(0, 1), max_size=8)
        index = {}
        for number, others in enumerate(
            data.draw(st.lists(prompt, max_size=4), label="earlier prompts")
        ):
            index = index_of(others, size, first=100 * number) | index
        tokens = data.draw(prompt, label="prompt")
        blocks, i = [], 0
        while (i + 1) * size < len(tokens) and tuple(tokens[: (i + 1) * size]) in index:
            blocks.append(index[tuple(tokens[: (i + 1) * size])])
            i += 1
        check.equal(kata.reuse_prefix(tokens, index, size), (blocks, i * size))


def cells(n):
    """The middles of n equal parts of [0, 1)."""
    return [(i + 0.5) / n for i in range(n)]


def outcome(kata, p, q):
    """The exact distribution of the outcome for p and q in tenths: every token by its
    share in q, and every part of [0, 1) for u and v in which the answer is the same.
    """
    total, tenths = (
        torch.zeros(len(p), dtype=torch.float64),
        sum(max(a - b, 0) for a, b in zip(p, q, strict=True)) or 1,
    )
    given_p, given_q = (torch.tensor(x, dtype=torch.float64) / 10 for x in (p, q))
    for token, share in enumerate(q):
        for u in cells(share):
            for v in cells(tenths):
                found, kept = kata.accept_or_resample(given_p, given_q, token, u, v)
                check.that(
                    not kept or found == token,
                    f"token {token} was accepted, and {found} returned",
                )
                total[found] += (1 if kept else 1 / tenths) / 10
                if kept:
                    break
    return total


@st.composite
def tenths(draw, size=3):
    cuts = sorted(
        draw(st.lists(st.integers(0, 10), min_size=size - 1, max_size=size - 1))
    )
    return [b - a for a, b in zip([0, *cuts], [*cuts, 10], strict=True)]


@pytest.mark.stretch
class TestAcceptOrResample:
    def test_what_the_target_likes_more_is_kept(self, kata):
        """p ≥ q: u · q is below p for every u below 1. Equal probabilities are
        kept, too.
        """
        p, q = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.25, 0.25, 0.5])
        for token, u in ((0, 0.0), (0, 0.99), (1, 0.3), (1, 0.99)):
            _, kept = kata.accept_or_resample(p, q, token, u, 0.5)
            check.that(
                bool(kept),
                f"token {token} with p = {p[token]:g} and q = {q[token]:g} was "
                f"refused at u = {u}",
            )

    def test_what_the_draft_likes_more_is_kept_in_part(self, kata):
        """p = 0.25 and q = 0.5: half of the draws are kept, those with u
        below p / q.
        """
        p, q = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.25, 0.25, 0.5])
        draws = (0.0, 0.3, 0.49, 0.51, 0.99)
        got = torch.tensor(
            [bool(kata.accept_or_resample(p, q, 2, u, 0.5)[1]) for u in draws]
        )
        wrong = {
            "u compared with p, not with p / q": torch.tensor(
                [True, False, False, False, False]
            ),
            "u compared with q / p": torch.tensor([True, True, True, True, True]),
            "kept only if p ≥ q": torch.tensor([False] * 5),
        }
        expected = torch.tensor([True, True, True, False, False])
        check.equal(
            got,
            expected,
            unlike=wrong,
            what=f"accepted at u = {', '.join(map(str, draws))}",
        )

    def test_another_token_comes_from_what_the_draft_missed(self, kata):
        """p − q is [0.2, −0.6, 0.1, 0.3]. Without the negative one and divided by the
        sum it is [1/3, 0, 1/6, 1/2], and v picks by the cumulative sum.
        """
        p, q = torch.tensor([0.3, 0.1, 0.2, 0.4]), torch.tensor([0.1, 0.7, 0.1, 0.1])
        draws = (0.1, 0.25, 0.36, 0.45, 0.55, 0.98)
        got = torch.tensor(
            [int(kata.accept_or_resample(p, q, 1, 0.9, v)[0]) for v in draws]
        )
        wrong = {
            "drawn from p": torch.tensor([0, 0, 1, 2, 2, 3]),
            "p − q without its sign": torch.tensor([0, 1, 1, 1, 1, 3]),
            "p − q not divided by its sum": torch.tensor([0, 2, 3, 3, 3, 3]),
            "max(q − p, 0): what the draft has too much of": torch.tensor(
                [1, 1, 1, 1, 1, 1]
            ),
        }
        expected = torch.tensor([0, 0, 2, 2, 3, 3])
        check.equal(
            got,
            expected,
            unlike=wrong,
            what=f"the tokens for v = {', '.join(map(str, draws))}",
        )

    def test_an_answer_is_a_token_and_a_flag(self, kata):
        """The flag says whether the draft's token was kept. Behind a refusal the other
        proposals are thrown away.
        """
        p, q = torch.tensor([0.2, 0.8]), torch.tensor([0.8, 0.2])
        for token, u, expected in (
            (0, 0.1, (0, True)),
            (0, 0.9, (1, False)),
            (1, 0.9, (1, True)),
        ):
            found, kept = kata.accept_or_resample(p, q, token, u, 0.5)
            check.equal(
                (int(found), bool(kept)),
                expected,
                what=f"for token {token} and u = {u}",
            )

    def test_a_token_that_the_target_excludes_never_comes(self, kata):
        """p = 0, as behind a top-k filter or at temperature 0. Not even u = 0
        keeps it.
        """
        p, q = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.5, 0.5, 0.0])
        got = [
            tuple(map(int, kata.accept_or_resample(p, q, 0, u, v)))
            for u in (0.0, 0.7)
            for v in (0.0, 0.9)
        ]
        check.equal(
            got, [(2, 0)] * 4, what="(token, kept) for u = 0 and 0.7, v = 0 and 0.9"
        )

    @settings(max_examples=25)
    @given(p=tenths(), q=tenths())
    def test_the_outcome_has_the_targets_distribution(self, kata, p, q):
        """Whatever the draft believes: sum over its tokens and over all u and v, and p
        comes out exactly.
        """
        expected = torch.tensor(p, dtype=torch.float64) / 10
        check.close(
            outcome(kata, p, q),
            expected,
            what=f"the distribution of the outcome for q = {q} / 10",
        )

    @pytest.mark.edge
    def test_rounding_picks_no_token_that_is_not_due(self, kata):
        """The cumulative sum in float32 may end below the largest v. Token 2 has p ≤ q,
        so it cannot come.
        """
        p, q = torch.tensor([0.6, 0.4, 0.0]), torch.tensor([0.3, 0.3, 0.4])
        for v in (0.0, 1 - 2**-53):
            found, _ = kata.accept_or_resample(p, q, 2, 0.5, v)
            check.equal(found, 0 if v == 0 else 1, what=f"the token for v = {v}")
        thirds = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0]) / 3
        found, _ = kata.accept_or_resample(
            thirds, torch.tensor([0.1, 0.1, 0.1, 0.1, 0.6]), 4, 0.5, 1 - 2**-53
        )
        check.equal(found, 2, what="the token for the largest v")

    @pytest.mark.edge
    def test_nothing_left_keeps_the_token(self, kata):
        """A draft equal to the target but for rounding: p is smaller at token 1 by the
        last digit, and larger nowhere. Nothing can come in its place.
        """
        p = torch.tensor([0.5, 0.3, 0.2])
        q = torch.tensor([0.5, 0.3 + 3e-8, 0.2])
        check.that(bool(q[1] > p[1]), "the two probabilities are the same")
        check.equal(
            kata.accept_or_resample(p, q, 1, 1 - 2**-53, 0.5),
            (1, True),
            what="(token, kept)",
        )


def speculated(target, draft, tokens, new, gamma, slip=""):
    """Speculative generation at temperature 0 for rules that map a list of tokens to
    the next one. `slip` names a known mistake to make.
    """
    out, end, calls = list(tokens), len(tokens) + new, 0
    while len(out) < end:
        proposed = []
        for _ in range(gamma):
            proposed.append(draft(out + proposed))
        best = [target(out + proposed[:i]) for i in range(len(proposed) + 1)]
        if slip == "one place late":
            best = [*best[1:], best[-1]]
        right = next(
            (i for i, token in enumerate(proposed) if token != best[i]), len(proposed)
        )
        found = [*proposed[:right], best[right]]
        if slip == "no end at a refusal":
            found = best
        elif slip == "one more behind a refusal":
            found += best[right + 1 : right + 2]
        elif slip == "no last token" and right == gamma:
            found = proposed
        elif slip == "the last token from the draft" and right == gamma:
            found[-1] = draft(out + proposed)
        out += found
        calls += 1
    return torch.tensor([out[:end]]), calls


SLIPS = {
    "no end at a refusal": (
        "went on behind a refusal: those places have seen the refused token"
    ),
    "one more behind a refusal": (
        "one more token behind a refusal: its place has seen the refused token"
    ),
    "one place late": (
        "each proposal judged by the logits behind it, not by those in front of it"
    ),
    "the last token from the draft": (
        "the token behind the last proposal came from the draft"
    ),
}
TARGET = [3, 5, 4, 6, 0, 2, 1]  # which token follows 0 … 6: one circle through all
DRAFT = [3, 5, 0, 6, 0, 4, 1]  # wrong behind 2 and 5


@pytest.mark.stretch
class TestSpeculativeGenerate:
    def test_the_prompt_and_as_many_new_tokens(self, kata):
        """Whatever gamma is, there are exactly max_new_tokens more, and the prompt
        comes first.
        """
        idx = torch.tensor([[0, 3]])
        for new in (1, 2, 5):
            got, _ = kata.speculative_generate(
                sure(TARGET), sure(DRAFT), idx, new, gamma=3
            )
            check.shape(got, (1, 2 + new), what=f"the ids for max_new_tokens = {new}")
            check.equal(got[:, :2], idx, what="the prompt")

    @pytest.mark.parametrize("gamma", [1, 2, 3, 4, 5])
    def test_at_temperature_0_the_draft_changes_nothing(self, kata, gamma):
        """The target is sure of each token. The draft is wrong behind tokens 2 and 5,
        so some proposals are refused and others are not.
        """
        target, draft = sure(TARGET), sure(DRAFT)
        rules = [
            lambda tokens, f=following: f[tokens[-1]] for following in (TARGET, DRAFT)
        ]
        expected, calls = speculated(*rules, [0, 3], 19, gamma)
        wrong = {
            said: speculated(*rules, [0, 3], 19, gamma, slip)[0]
            for slip, said in SLIPS.items()
        }
        wrong |= {
            "the draft's own text": speculated(rules[1], rules[1], [0, 3], 19, gamma)[0]
        }
        first = {
            said: ids[:, :15]
            for said, ids in wrong.items()
            if not torch.equal(ids[:, :15], expected[:, :15])
        }
        got, counts = kata.speculative_generate(
            target, draft, torch.tensor([[0, 3]]), 19, gamma, temperature=0.0
        )
        check.equal(
            got[:, :15], expected[:, :15], unlike=first, what="the first 15 ids"
        )
        check.equal(got, expected, what="the ids")
        without = speculated(*rules, [0, 3], 19, gamma, "no last token")[1]
        wrong = {"no token from the target when all proposals are accepted": without}
        check.equal(counts["target_calls"], calls, unlike=wrong, what="target_calls")

    @pytest.mark.parametrize("gamma", [1, 4])
    def test_real_models_write_what_generate_writes(self, kata, gamma):
        """A GPT's best token depends on all tokens before it. Speculation and 27's
        generate must agree, with a draft that is often right and with one that
        never is.
        """
        target, idx = small_gpt(kata, 3), torch.tensor([[1, 2, 3]])
        expected = kata.generate(target, idx, 14, temperature=0.0)
        for name, draft in (("close", closer(kata, 3)), ("far", small_gpt(kata, 8))):
            got, _ = kata.speculative_generate(
                target, draft, idx, 14, gamma, temperature=0.0
            )
            check.equal(got, expected, what=f"the ids with a draft that is {name}")

    @pytest.mark.parametrize(
        ("gamma", "temperature"), [(1, 1.0), (3, 0.5)], ids=["plain", "sharpened"]
    )
    def test_a_draft_equal_to_the_target_is_always_accepted(
        self, kata, gamma, temperature
    ):
        """p = q, so nothing is refused: every call of the target gives gamma + 1
        tokens. The temperature divides the logits of both.
        """
        table = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3], [0.3, 0.3, 0.4]])
        target, rounds = Chain(table), 5
        got, counts = kata.speculative_generate(
            target,
            Chain(table),
            torch.tensor([[0, 1]]),
            rounds * (gamma + 1),
            gamma,
            temperature,
        )
        check.shape(got, (1, 2 + rounds * (gamma + 1)))
        expected = {
            "target_calls": rounds,
            "proposed": rounds * gamma,
            "accepted": rounds * gamma,
        }
        wrong = {
            "no token from the target when all are accepted": {
                "target_calls": rounds + math.ceil(rounds / gamma)
            },
        }
        refused = counts["proposed"] - counts["accepted"]
        check.that(
            refused == 0,
            f"{refused} of {counts['proposed']} proposals were refused: p and q are "
            "not equal",
        )
        check.entries(counts, expected, unlike=wrong)

    def test_a_draft_that_is_always_wrong_costs_a_call_per_token(self, kata):
        """Each round gives the target's own token and nothing else."""
        wrong_draft = sure([(following + 1) % 7 for following in TARGET])
        got, counts = kata.speculative_generate(
            sure(TARGET), wrong_draft, torch.tensor([[0]]), 6, 3, temperature=0.0
        )
        check.equal(got, torch.tensor([[0, 3, 6, 1, 5, 2, 4]]), what="the ids")
        check.equal(
            [counts["target_calls"], counts["accepted"]],
            [6, 0],
            what="target_calls and accepted",
        )

    def test_one_call_of_the_target_judges_a_round(self, kata):
        """A call costs as much for five tokens as for one: that is the whole gain. The
        draft's calls are the cheap ones.
        """
        target, draft = sure(TARGET), sure(DRAFT)
        _, counts = kata.speculative_generate(
            target, draft, torch.tensor([[0, 3]]), 12, 3, temperature=0.0
        )
        check.equal(
            len(target.lengths),
            counts["target_calls"],
            what="calls of the target, and target_calls",
        )
        check.that(
            len(target.lengths) <= 8,
            f"the target was called {len(target.lengths)} times for 12 tokens",
        )

    @pytest.mark.parametrize("temperature", [1.0, 0.5])
    def test_the_text_has_the_targets_distribution(self, kata, temperature):
        """A long text by a target whose next token depends on the last one. How often
        each token follows each other one must be what the target says, within five
        standard errors. The draft believes otherwise.
        """
        p = torch.tensor(
            [[0.2, 0.5, 0.3], [0.5, 0.2, 0.3], [0.25, 0.3, 0.45]], dtype=torch.float64
        )
        q = torch.tensor(
            [[0.7, 0.1, 0.2], [0.1, 0.3, 0.6], [0.1, 0.8, 0.1]], dtype=torch.float64
        )
        source = torch.Generator().manual_seed(11)
        got, _ = kata.speculative_generate(
            Chain(p),
            Chain(q),
            torch.tensor([[0]]),
            800,
            3,
            temperature,
            generator=source,
        )
        pairs = torch.zeros(3, 3, dtype=torch.float64)
        for before, after in zip(
            got[0, :-1].tolist(), got[0, 1:].tolist(), strict=True
        ):
            pairs[before, after] += 1
        expected = p ** (1 / temperature)
        expected = expected / expected.sum(1, keepdim=True)
        counts = pairs.sum(1, keepdim=True)
        errors = (expected * (1 - expected) / counts).sqrt()
        off = ((pairs / counts - expected) / errors).abs()
        i, j = divmod(int(off.argmax()), 3)
        said = (
            f"token {j} followed token {i} in {pairs[i, j] / counts[i, 0]:.3f} of the "
            "cases, expected"
        )
        check.that(
            bool(off.max() <= 5), f"{said} {expected[i, j]:.3f} ± {errors[i, j]:.3f}"
        )

    def test_a_generator_decides(self, kata):
        """The same seed writes the same text, and another seed another one."""
        target, draft, texts = (
            torch.full((5, 5), 0.1) + 0.5 * torch.eye(5),
            torch.full((5, 5), 0.2),
            [],
        )
        for seed in (1, 1, 2):
            source = torch.Generator().manual_seed(seed)
            got, _ = kata.speculative_generate(
                Chain(target),
                Chain(draft),
                torch.tensor([[0]]),
                24,
                temperature=2.0,
                generator=source,
            )
            texts.append(got)
        check.equal(texts[1], texts[0], what="the text of the same seed")
        check.that(
            not torch.equal(texts[0], texts[2]), "another seed wrote the same text"
        )

    def test_without_dropout_and_gradients(self, kata):
        """Both models run in eval mode, and record no graph."""
        target, draft = sure(TARGET).train(), sure(DRAFT).train()
        kata.speculative_generate(target, draft, torch.tensor([[0, 3]]), 4, 2)
        for name, model in (("target", target), ("draft", draft)):
            check.that(bool(model.modes), f"the {name} was not called")
            check.that(not any(model.modes), f"the {name} ran in training mode")
            check.that(not any(model.gradients), f"the {name} recorded a graph")

    @pytest.mark.edge
    def test_no_more_proposals_than_can_follow(self, kata):
        """Seven tokens with gamma 4: 4 proposals and one by the target, then 2 are
        missing, so 1 proposal and one by the target. More would be computed
        for nothing.
        """
        for new, proposed, calls in ((7, 5, 2), (1, 0, 1)):
            _, counts = kata.speculative_generate(
                sure(TARGET), sure(TARGET), torch.tensor([[0]]), new, 4, 0.0
            )
            wrong = {
                "gamma proposals where fewer can follow": 4 * calls,
                "one for the target's place": proposed + 1,
            }
            check.equal(
                counts["proposed"],
                proposed,
                unlike=wrong,
                what=f"proposed, for {new} new tokens",
            )
            check.equal(
                counts["target_calls"],
                calls,
                what=f"target_calls, for {new} new tokens",
            )

    @pytest.mark.edge
    def test_modes_come_back(self, kata):
        """A sample between two training steps must not switch dropout off for good,
        even if a model fails.
        """

        class Failing(Chain):
            def forward(self, idx):
                raise OverflowError("too long")

        table = torch.full((5, 5), 0.2)
        target, draft = Chain(table).train(), Chain(table).eval()
        kata.speculative_generate(target, draft, torch.tensor([[0]]), 3, 2)
        check.equal(
            [target.training, draft.training],
            [True, False],
            what="target's and draft's training mode",
        )
        target, draft = Failing(table).eval(), Chain(table).train()
        with check.raises(OverflowError):
            kata.speculative_generate(target, draft, torch.tensor([[0]]), 3, 2)
        check.equal(
            [target.training, draft.training],
            [False, True],
            what="the modes after an error",
        )

    @pytest.mark.edge
    def test_the_prompt_stays_as_it_is(self, kata):
        """Not even with no new tokens is the prompt's own memory handed back."""
        idx = torch.tensor([[0, 3, 6]])
        for new in (0, 4):
            with check.unchanged(idx=idx):
                got, _ = kata.speculative_generate(sure(TARGET), sure(DRAFT), idx, new)
            check.independent(got, idx)

    @pytest.mark.edge
    def test_one_row_only(self, kata):
        """Rows would keep different numbers of tokens."""
        with check.raises(ValueError):
            kata.speculative_generate(
                sure(TARGET), sure(DRAFT), torch.tensor([[0, 3], [1, 2]]), 4
            )
