// Answers of the network in this browser. An image is decoded, resized and classified here, and sent nowhere.
const network = { about: null, session: null };

async function fetched(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} could not be loaded: ${response.status}`);
  return response;
}

const TILE = 2048; // pixels: the canvas of a phone is limited, and one that is too large stays empty without an error

function checkSize(width, height) {
  const [count, most] = [width * height, network.about.most_pixels];
  if (count <= most) return;
  const [given, wanted] = [count, most].map((each) => `${Math.round(each / 1e6)} million`);
  throw new Error(`This image of ${width} × ${height} is ${given} pixels; at most ${wanted} are decoded.`);
}

// Browsers read the header of an image that is shown nowhere, and decode nothing.
async function stated(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => Object.assign(image, { onload: resolve, onerror: reject }));
    return [image.naturalWidth, image.naturalHeight];
  } catch {
    throw new Error("This is not an image that the browser can decode.");
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

async function decoded(file) {
  checkSize(...(await stated(file)));
  let bitmap;
  try {
    // Colours stay as the file has them; a photo is turned as its camera was held.
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  } catch {
    throw new Error("This is not an image that the browser can decode.");
  }
  try {
    checkSize(bitmap.width, bitmap.height);
    return pixelsOf(bitmap);
  } finally {
    bitmap.close();
  }
}

// Read a bitmap in tiles, each of which any canvas can hold.
function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  const tooLittle = `This browser has too little memory for an image of ${width} × ${height} pixels.`;
  let data;
  try {
    data = new Uint8ClampedArray(4 * width * height);
  } catch {
    throw new Error(tooLittle);
  }
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: Math.min(width, TILE), height: Math.min(height, TILE) });
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new Error(tooLittle);
  context.fillStyle = "white"; // transparency is laid over white
  for (let top = 0; top < height; top += TILE) {
    for (let left = 0; left < width; left += TILE) {
      const [across, down] = [Math.min(TILE, width - left), Math.min(TILE, height - top)];
      context.fillRect(0, 0, across, down);
      context.drawImage(bitmap, left, top, across, down, 0, 0, across, down);
      const tile = context.getImageData(0, 0, across, down).data;
      // Over white every pixel is opaque: one that is not was never drawn.
      if (tile[3] !== 255 || tile[tile.length - 1] !== 255) throw new Error(tooLittle);
      for (let y = 0; y < down; y += 1) {
        data.set(tile.subarray(4 * y * across, 4 * (y + 1) * across), 4 * ((top + y) * width + left));
      }
    }
  }
  return { data, step: 4, width, height };
}

// Whether logits are like those of no class, as `residua.evaluation.rejection.scores` computes it; null without a rule.
function isUnknown({ rejection, threshold }, chances, logits) {
  if (!rejection) return threshold === null ? null : Math.max(...chances) < threshold;
  const values = [...logits].map((each) => each / rejection.temperature);
  const greatest = values.reduce((a, b) => Math.max(a, b));
  const total = values.reduce((sum, each) => sum + Math.exp(each - greatest), 0);
  const score = rejection.score === "softmax" ? 1 - 1 / total : -rejection.temperature * (greatest + Math.log(total));
  return score > rejection.threshold;
}

const answers = {
  where: "on this device",
  explains: false,
  atATime: 1,

  async models() {
    network.about = await (await fetched("model.json")).json();
    const graph = await (await fetched("model.onnx")).arrayBuffer();
    // One thread: more need headers that a plain host of files does not send.
    ort.env.wasm.numThreads = 1;
    network.session = await ort.InferenceSession.create(new Uint8Array(graph), { executionProviders: ["wasm"] });
    return [{ ...network.about, classes: network.about.labels.length }];
  },

  async pixels(file) {
    return prepared(await decoded(file), network.about.preprocess);
  },

  // Probabilities, and logits where a rejection scores them.
  async outputs(pixels) {
    const { session } = network;
    const images = new ort.Tensor("uint8", pixels.data, [1, pixels.height, pixels.width, 3]);
    const outputs = await session.run({ [session.inputNames[0]]: images });
    return session.outputNames.map((name) => outputs[name].data);
  },

  async classify(file) {
    const start = performance.now();
    const [chances, logits] = await this.outputs(await this.pixels(file));
    const { labels, threshold, label_thresholds: thresholds } = network.about;
    if (thresholds) {
      const every = [...chances.keys()].sort((a, b) => chances[b] - chances[a] || a - b);
      const chosen = every.filter((at) => chances[at] >= thresholds[labels[at]]);
      const answer = {
        name: file.name,
        labels: chosen.map((at) => labels[at]),
        probabilities: chosen.map((at) => chances[at]),
        unknown: null,
        threshold: null,
        all_probabilities: Object.fromEntries(labels.map((label, at) => [label, chances[at]])),
      };
      return { images: [answer], milliseconds: performance.now() - start };
    }
    const order = [...chances.keys()].sort((a, b) => chances[b] - chances[a] || a - b).slice(0, 5);
    const entry = {
      name: file.name,
      labels: order.map((at) => labels[at]),
      probabilities: order.map((at) => chances[at]),
      unknown: isUnknown(network.about, chances, logits),
      threshold,
    };
    return { images: [entry], milliseconds: performance.now() - start };
  },
};
