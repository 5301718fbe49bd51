// Pillow's bilinear filter, number for number: what `Image.resize((size, size), BILINEAR, box=box)` gives of 8-bit and
// of floating-point images. A browser's own resampling differs from browser to browser, and from what the student saw.

const BITS = 22; // of Pillow's fixed point for 8-bit images

// For each place of the result: the first place of the source that counts, and the weights from there on.
function filter(length, from, to, size) {
  const start = Math.fround(from);
  const scale = Math.fround(Math.fround(to) - start) / size;
  const reach = Math.max(scale, 1);
  return Array.from({ length: size }, (_, place) => {
    const centre = start + (place + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const last = Math.min(Math.trunc(centre + reach + 0.5), length);
    const weights = new Float64Array(last - first);
    let sum = 0;
    for (let i = 0; i < weights.length; i++) {
      const away = Math.abs((i + first - centre + 0.5) * (1 / reach));
      weights[i] = away < 1 ? 1 - away : 0;
      sum += weights[i];
    }
    return { first, weights: sum === 0 ? weights : weights.map(weight => weight / sum) };
  });
}

const fixed = filters =>
  filters.map(one => ({ ...one, weights: Int32Array.from(one.weights, weight => Math.trunc(0.5 + weight * 2 ** BITS)) }));

// One direction of an image. `kind` is the array type of source and result, `finish` makes a value of a sum.
function across({ data, width, height, channels }, filters, { kind, finish, begin }) {
  const size = filters.length, result = new kind(size * height * channels);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < size; x++) {
      const { first, weights } = filters[x];
      for (let c = 0; c < channels; c++) {
        let sum = begin, place = (y * width + first) * channels + c;
        for (let i = 0; i < weights.length; i++, place += channels) sum += data[place] * weights[i];
        result[(y * size + x) * channels + c] = finish(sum);
      }
    }
  return { data: result, width: size, height, channels };
}

function down({ data, width, channels }, filters, { kind, finish, begin }) {
  const row = width * channels, result = new kind(filters.length * row);
  filters.forEach(({ first, weights }, y) => {
    for (let x = 0; x < row; x++) {
      let sum = begin;
      for (let i = 0; i < weights.length; i++) sum += data[(first + i) * row + x] * weights[i];
      result[y * row + x] = finish(sum);
    }
  });
  return { data: result, width, height: filters.length, channels };
}

// Only the rows that `filters` read, and the filters for those alone.
function cut({ data, width, height, channels }, filters) {
  const from = filters[0].first, { first, weights } = filters[filters.length - 1], to = first + weights.length;
  const row = width * channels, image = { data: data.subarray(from * row, to * row), width, height: to - from, channels };
  return [image, filters.map(one => ({ ...one, first: one.first - from }))];
}

function both(image, [left, top, right, bottom], size, { prepare, ...how }) {
  const { width, height } = image;
  const wide = size !== width || left !== 0 || right !== size;
  const high = size !== height || top !== 0 || bottom !== size;
  const columns = prepare(filter(width, left, right, size));
  const [rest, rows] = cut(image, prepare(filter(height, top, bottom, size)));
  // Pillow from 13 on takes the other way round when much more height goes than width. Each way rounds to whole levels
  // in between, so that an older Pillow gives other levels there, by one.
  if (wide && high && height > size && height - size > 2 * (width - size))
    return across(down(rest, rows, how), columns, how).data;
  const done = wide ? across(rest, columns, how) : rest;
  return (high ? down(done, rows, how) : done).data;
}

const LEVELS = { kind: Uint8ClampedArray, prepare: fixed, finish: sum => sum >> BITS, begin: 2 ** (BITS - 1) };
const FLOATS = { kind: Float32Array, prepare: filters => filters, finish: sum => sum, begin: 0 };

// The box of an image {data: Uint8, width, height, channels} as Uint8 (size, size, channels), channels last.
export function resample(image, box, size) {
  return both(image, box, size, LEVELS);
}

// The whole of a square image at another size in floating point, unrounded: Float32 (size, size, channels).
export function resampleFloat(data, side, channels, size) {
  const image = { data: Float32Array.from(data), width: side, height: side, channels };
  return both(image, [0, 0, side, side], size, FLOATS);
}
