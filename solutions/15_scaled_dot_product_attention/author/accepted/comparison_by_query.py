# Different: other draws in another order (values first, queries and keys as one tensor,
# normal_), float64 on the way, the divisor n in the standard deviations, entropy by
# xlogy, the gradient as the trace of the whole Jacobian, and one pass per query.


def score_statistics(scores, v):
    w = scores.softmax(1)
    jacobians = [torch.diag(row) - torch.outer(row, row) for row in w]
    return {
        "std": float(scores.std(correction=0)),
        "entropy": float(
            torch.stack([-torch.xlogy(row, row).sum() for row in w]).mean()
        ),
        "gradient": float(
            torch.stack([jacobian.trace() for jacobian in jacobians]).mean()
        ),
        "output_std": float((w @ v).var(correction=0).sqrt()),
    }


def compare_scaling(head_dims, num_queries=64, num_keys=32, generator=None):
    def one(d):
        v = torch.empty(num_keys, d, dtype=torch.float64).normal_(generator=generator)
        both = torch.empty(num_keys + num_queries, d, dtype=torch.float64).normal_(
            generator=generator
        )
        k, q = both[:num_keys], both[num_keys:]
        scores = q.mm(k.t())
        raw, scaled = score_statistics(scores, v), score_statistics(scores * d**-0.5, v)
        return {f"{n}_raw": x for n, x in raw.items()} | {
            f"{n}_scaled": x for n, x in scaled.items()
        }

    return {d: one(d) for d in head_dims}
