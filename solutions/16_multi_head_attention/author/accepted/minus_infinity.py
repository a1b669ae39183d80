"""The tutorial's forward: a fill of −inf and nothing for rows without keys, dropout
before the weights are returned.
"""

# leaves open: test_a_fully_masked_row_has_zero_weights,
# test_gradients_stay_finite_with_a_fully_masked_row,
# test_every_dtype_comes_back_as_itself, test_cpu_autocast_stays_near_float32,
# test_returned_weights_are_before_dropout, test_query_must_be_d_model_wide


class MultiHeadAttention(MultiHeadAttention):
    def forward(
        self,
        query,
        key=None,
        value=None,
        mask=None,
        key_padding_mask=None,
        need_weights=False,
    ):
        key = query if key is None else key
        value = key if value is None else value
        q = split_heads(self.W_q(query), self.num_heads)
        k = split_heads(self.W_k(key), self.num_heads)
        v = split_heads(self.W_v(value), self.num_heads)
        scores = torch.matmul(q, k.transpose(-2, -1)) / self.d_k**0.5
        allowed = prepare_mask(mask, key_padding_mask, scores.shape)
        if allowed is not None:
            scores = scores.masked_fill(allowed == 0, float("-inf"))
        weights = self.dropout(torch.softmax(scores, dim=-1))
        output = self.W_o(merge_heads(torch.matmul(weights, v)))
        return (output, weights) if need_weights else output
