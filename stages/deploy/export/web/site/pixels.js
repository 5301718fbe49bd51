// From an image file to the tensor that the student reads, as preprocessing.json says and preprocess.py does it.

import { resample, resampleFloat } from "./resample.js";

const MOST = 89_000_000; // pixels, as Python reads them

export class BadPicture extends Error {}

// A file (or any blob) as {data: Uint8 RGBA, width, height}. The browser decodes it, without turning it and without
// colour profiles, as in training.
export async function decode(blob, name = "the picture") {
  let bitmap;
  try {
    const plain = { imageOrientation: "none", premultiplyAlpha: "none", colorSpaceConversion: "none" };
    bitmap = await createImageBitmap(blob, plain);
  } catch {
    throw new BadPicture(`${name} is no picture that this browser can read`);
  }
  const { width, height } = bitmap;
  if (width * height > MOST) throw new BadPicture(`${name} has ${width} x ${height} pixels, and ${MOST} are the most`);
  const canvas = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  canvas.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { data: canvas.getImageData(0, 0, width, height).data, width, height };
}

// RGBA on white, in 1 (grey) or 3 channels; Pillow's integers.
export function flatten({ data, width, height }, channels) {
  const found = new Uint8ClampedArray(width * height * channels);
  const colour = [0, 0, 0];
  for (let i = 0; i < width * height; i++) {
    const alpha = data[4 * i + 3];
    for (let c = 0; c < 3; c++) colour[c] = alpha === 255 ? data[4 * i + c] : onWhite(data[4 * i + c], alpha);
    if (channels === 3) found.set(colour, 3 * i);
    else found[i] = (colour[0] * 19595 + colour[1] * 38470 + colour[2] * 7471 + 0x8000) >> 16;
  }
  return { data: found, width, height, channels };
}

function onWhite(level, alpha) {
  const sum = level * alpha * 128 + 255 * (255 - alpha) * 128 + (0x80 << 7);
  return ((sum >> 8) + sum) >> 8 >> 7;
}

// What stays of an image whose shorter side becomes `size` and whose centre is cut out: left, top, right, bottom.
export function plainBox(width, height, size) {
  const span = (long, short) => {
    const resized = Math.trunc((size * long) / short), start = Math.trunc((resized - size) / 2);
    return [(start * long) / resized, ((start + size) * long) / resized];
  };
  if (width <= height) {
    const [top, bottom] = span(height, width);
    return [0, top, width, bottom];
  }
  const [left, right] = span(width, height);
  return [left, 0, right, height];
}

// {data: RGBA, width, height} as Float32 (channels, size, size): the plain view, the student's size, mean and deviation.
export function prepare(picture, { channels, view, size, mean, std }) {
  const image = flatten(picture, channels), { width, height } = image;
  const square = width === view && height === view;
  const plain = square ? image.data : resample(image, plainBox(width, height, view), view);
  const seen = view === size ? plain : resampleFloat(plain, view, channels, size);
  const found = new Float32Array(channels * size * size);
  const [means, deviations] = [mean, std].map(values => values.map(Math.fround));
  for (let c = 0; c < channels; c++) {
    const [middle, wide] = [means, deviations].map(values => values[values.length === 1 ? 0 : c]);
    for (let i = 0; i < size * size; i++) {
      const share = Math.fround(seen[i * channels + c] / 255);
      found[c * size * size + i] = Math.fround(share - middle) / wide;
    }
  }
  return found;
}
