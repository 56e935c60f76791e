"""The shipped mobile checkpoint's channels were equalised: the float network stays what it was, and its channels come closer."""

import torch
from equalise import _loudness, equalise, readers_of

from instantstyle.model.network import CONFIGS, InstantStyle


def test_equalised_channels_are_as_loud_as_each_other_and_the_picture_stays() -> None:
    torch.manual_seed(0)
    network = InstantStyle(CONFIGS["painting"]).eval()
    encoder = network.stylizer.content_encoder
    with torch.no_grad():
        encoder.bn1.weight.copy_(torch.logspace(-1, 1, encoder.bn1.num_features))
        photos = [torch.rand(1, 3, 64, 64) * 2 - 1 for _ in range(2)]
        code = torch.randn(1, network.style_encoder(torch.zeros(1, 3, 512, 512)).shape[1])
        before, apart = network.stylizer(photos[0], code, torch.ones(1, 1)), _loudness(encoder, encoder.bn1, photos)
        equalise(network, photos)
        after, closer = network.stylizer(photos[0], code, torch.ones(1, 1)), _loudness(encoder, encoder.bn1, photos)
    assert before.std() > 0.1
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    assert apart.max() / apart.min() > 40 and closer.max() / closer.min() < 0.4 * apart.max() / apart.min()
    assert len(readers_of(encoder, "decoder.skip_half")) == 1 + 2 * (len(encoder.layer1) + len(encoder.layer2))
