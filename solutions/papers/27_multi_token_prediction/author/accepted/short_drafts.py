"""Flat heads by einsum; losses by gather; drafts cut to what is still missing, checked
by comparing whole rows.
"""


class MultiTokenModel(MultiTokenModel):
    def forward(self, tokens):
        weight = torch.stack([head.weight for head in self.heads])
        bias = torch.stack([head.bias for head in self.heads])
        return torch.einsum("bth,kvh->btkv", self.hidden(tokens), weight) + bias


def multi_token_loss(logits, tokens):
    num_heads = logits.shape[2]
    assert tokens.shape[1] > num_heads
    logp = logits.log_softmax(-1)
    per_head = torch.zeros(num_heads, dtype=logits.dtype)
    for k in range(num_heads):
        later = tokens[:, k + 1 :]
        per_head[k] = -logp[:, : later.shape[1], k].gather(2, later.unsqueeze(2)).mean()
    return sum(per_head.unbind()), per_head


def backward_head_by_head(model, tokens):
    hidden = model.hidden(tokens)
    leaf = hidden.detach().clone()
    leaf.requires_grad = True
    losses = []
    for k, head in enumerate(model.heads):
        later = tokens[:, k + 1 :]
        loss = F.nll_loss(
            F.linear(leaf, head.weight, head.bias)[:, : later.shape[1]]
            .log_softmax(2)
            .mT,
            later,
        )
        loss.backward()
        losses.append(loss.detach())
        del loss
    (hidden * leaf.grad).sum().backward()
    return torch.stack(losses).sum().item()


def speculative_generate(model, prompt, num_new):
    text, draft, calls, end = prompt.clone(), None, 0, prompt.shape[1] + num_new
    with torch.no_grad():
        while True:
            missing = end - text.shape[1]
            if missing == 0:
                return text, calls
            draft = text[:, :0] if draft is None else draft[:, : missing - 1]
            best = model(torch.cat([text, draft], dim=1)).argmax(-1)
            calls += 1
            place = text.shape[1] - 1
            for accepted in range(draft.shape[1], -1, -1):
                if torch.equal(
                    draft[0, :accepted], best[0, place : place + accepted, 0]
                ):
                    break
            text = torch.cat(
                [text, draft[:, :accepted], best[:, place + accepted, [0]]], dim=1
            )
            draft = best[:, place + accepted, 1:]
