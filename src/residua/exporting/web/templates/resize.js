// Pillow's resize (libImaging, Resample.c and Geometry.c): 22 bits of fraction, rounded to 8 bits after each of two
// passes, across and then down. A browser's own drawImage differs by several grey levels.
const BITS = 22;
const LONGEST = 8; // longer side over shorter side up to which an image is resized as a whole

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));
const FILTERS = {
  box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  hamming: [1, (x) => {
    const far = Math.abs(x);
    if (far >= 1) return 0;
    // Its two constants are of single precision.
    return far === 0 ? 1 : sinc(far) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(far * Math.PI));
  }],
  bicubic: [2, (x) => {
    const far = Math.abs(x);
    if (far < 1) return (1.5 * far - 2.5) * far * far + 1;
    return far < 2 ? (((far - 5) * far + 8) * far - 4) * -0.5 : 0;
  }],
  lanczos: [3, (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

// What each of `count` outputs takes of `size` inputs, of which from `first` to `last` are seen.
function taps(size, first, last, count, [reach, weigh]) {
  const [from, to] = [Math.fround(first), Math.fround(last)];
  const scale = Math.fround(to - from) / count;
  const stretch = Math.max(scale, 1);
  const support = reach * stretch;
  return Array.from({ length: count }, (_, at) => {
    const center = from + (at + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(size, Math.trunc(center + support + 0.5));
    const weights = [];
    let sum = 0;
    for (let x = 0; x < end - start; x += 1) {
      weights.push(weigh((x + start - center + 0.5) * (1 / stretch)));
      sum += weights[x];
    }
    const whole = weights.map((each) => {
      const share = (sum === 0 ? each : each / sum) * 2 ** BITS;
      return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    return [start, Int32Array.from(whole)];
  });
}

const clipped = (sum) => Math.min(255, Math.max(0, sum >> BITS));

// Images are { data: Uint8Array or Uint8ClampedArray, step: values per pixel, width, height }; the first three are R, G, B.
function acrossed(image, columns, top, bottom) {
  const { data, step, width } = image;
  const out = new Uint8Array(columns.length * (bottom - top) * 3);
  let to = 0;
  for (let y = top; y < bottom; y += 1) {
    for (const [start, weights] of columns) {
      let [r, g, b] = [1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1)];
      let from = (y * width + start) * step;
      for (const weight of weights) {
        r += data[from] * weight;
        g += data[from + 1] * weight;
        b += data[from + 2] * weight;
        from += step;
      }
      out[to] = clipped(r);
      out[to + 1] = clipped(g);
      out[to + 2] = clipped(b);
      to += 3;
    }
  }
  return { data: out, step: 3, width: columns.length, height: bottom - top };
}

function downed(image, rows) {
  const line = image.width * 3;
  const out = new Uint8Array(line * rows.length);
  rows.forEach(([start, weights], y) => {
    for (let x = 0; x < line; x += 1) {
      let sum = 1 << (BITS - 1);
      let from = start * line + x;
      for (const weight of weights) {
        sum += image.data[from] * weight;
        from += line;
      }
      out[y * line + x] = clipped(sum);
    }
  });
  return { data: out, step: 3, width: image.width, height: rows.length };
}

function packed(image) {
  return image.step === 3 ? image : cropped(image, 0, 0, image.height, image.width);
}

function nearest(image, height, width, [left, top, right, bottom]) {
  const [x, y] = [(Math.fround(right) - Math.fround(left)) / width, (Math.fround(bottom) - Math.fround(top)) / height];
  const out = new Uint8Array(height * width * 3);
  // Pillow adds the step up, which rounds otherwise than multiplying it.
  const places = (start, step, count) => {
    const list = [];
    for (let at = start + step * 0.5; list.length < count; at += step) list.push(Math.trunc(at));
    return list;
  };
  const columns = places(Math.fround(left), x, width);
  let to = 0;
  for (const row of places(Math.fround(top), y, height)) {
    for (const column of columns) {
      const from = (row * image.width + column) * image.step;
      out.set(image.data.subarray(from, from + 3), to);
      to += 3;
    }
  }
  return { data: out, step: 3, width, height };
}

function resized(image, height, width, interpolation, box = [0, 0, image.width, image.height]) {
  const [left, top, right, bottom] = box;
  const [whole, tall] = [left === 0 && right === image.width, top === 0 && bottom === image.height];
  if (whole && tall && width === image.width && height === image.height) return packed(image);
  if (interpolation === "nearest") return nearest(image, height, width, box);
  const filter = FILTERS[interpolation];
  const columns = taps(image.width, left, right, width, filter);
  const rows = taps(image.height, top, bottom, height, filter);
  const first = rows[0][0];
  const last = rows[height - 1][0] + rows[height - 1][1].length;
  const across = !whole || width !== image.width;
  const down = !tall || height !== image.height;
  const wide = across ? acrossed(image, columns, first, last) : cropped(image, first, 0, last - first, image.width);
  if (!down) return wide;
  return downed(wide, rows.map(([start, weights]) => [start - first, weights]));
}

function cropped(image, top, left, height, width) {
  const out = new Uint8Array(height * width * 3);
  let to = 0;
  for (let y = top; y < top + height; y += 1) {
    let from = (y * image.width + left) * image.step;
    for (let x = 0; x < width; x += 1, to += 3, from += image.step) {
      out[to] = image.data[from];
      out[to + 1] = image.data[from + 1];
      out[to + 2] = image.data[from + 2];
    }
  }
  return { data: out, step: 3, width, height };
}

// Halves go to the even number, as Python rounds.
function even(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

function centre(image, [height, width]) {
  const [top, left] = [even((image.height - height) / 2), even((image.width - width) / 2)];
  return cropped(image, top, left, height, width);
}

function covering(image, resize) {
  const { height, width } = image;
  if (Array.isArray(resize)) {
    const ratio = Math.min(height / resize[0], width / resize[1]);
    return [even(height / ratio), even(width / ratio)];
  }
  return height <= width
    ? [resize, Math.trunc((resize * width) / height)]
    : [Math.trunc((resize * height) / width), resize];
}

function bordered(image, spec) {
  const ratio = Math.max(image.height / spec.resized[0], image.width / spec.resized[1]);
  const [height, width] = [image.height, image.width].map((side) => Math.max(1, even(side / ratio)));
  const small = resized(image, height, width, spec.interpolation);
  const [tall, wide] = [Math.max(height, spec.size[0]), Math.max(width, spec.size[1])];
  const out = new Uint8Array(tall * wide * 3);
  for (let at = 0; at < out.length; at += 3) out.set(spec.fill, at);
  const [top, left] = [Math.floor((tall - height) / 2), Math.floor((wide - width) / 2)];
  for (let y = 0; y < height; y += 1) {
    out.set(small.data.subarray(y * width * 3, (y + 1) * width * 3), ((top + y) * wide + left) * 3);
  }
  return centre({ data: out, step: 3, width: wide, height: tall }, spec.size);
}

// Resize and crop as the run was evaluated: { size, resized, resize, interpolation, crop_mode, fill }.
function prepared(image, spec) {
  const [[tall, wide], [height, width]] = [spec.size, spec.resized];
  if (image.height === tall && image.width === wide && tall === height && wide === width) return packed(image);
  if (spec.crop_mode === "squash") return centre(resized(image, height, width, spec.interpolation), spec.size);
  if (spec.crop_mode === "border") return bordered(image, spec);
  const [high, broad] = covering(image, spec.resize);
  if (high * broad <= LONGEST * height * width) {
    return centre(resized(image, high, broad, spec.interpolation), spec.size);
  }
  // A panorama is not enlarged as a whole: only what is kept of it is computed.
  const [y, x] = [image.height / high, image.width / broad];
  const [top, left] = [even((high - tall) / 2), even((broad - wide) / 2)];
  const right = Math.min((left + wide) * x, image.width);
  return resized(image, tall, wide, spec.interpolation, [left * x, top * y, right, Math.min((top + tall) * y, image.height)]);
}
