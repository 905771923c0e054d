# Writes small JPEGs of kinds that sharp does not write: halved in width alone, and with restart markers. Needs Pillow.
import os
import random
from PIL import Image

random.seed(3)
here = os.path.dirname(os.path.abspath(__file__))
for name, size, options in [
    ('422', (21, 11), {'subsampling': 1}),
    ('422-restart', (40, 18), {'subsampling': 1, 'restart_marker_blocks': 1}),
    ('420-restart', (37, 35), {'subsampling': 2, 'restart_marker_blocks': 2}),
]:
    pixels = bytes((i * 37 // 5 + random.randrange(60)) % 256 for i in range(size[0] * size[1] * 3))
    image = Image.frombytes('RGB', size, pixels)
    image.save(os.path.join(here, f'jpeg-{name}.jpg'), quality=80, **options)
