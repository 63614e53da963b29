// Answers of the network in this browser. An image is decoded, resized and classified here, and sent nowhere.
const network = { about: null, session: null };

async function fetched(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} could not be loaded: ${response.status}`);
  return response;
}

async function decoded(file) {
  let bitmap;
  try {
    // Colours stay as the file has them; a photo is turned as its camera was held.
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image" });
  } catch {
    throw new Error("This is not an image that the browser can decode.");
  }
  const { width, height } = bitmap;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  context.fillStyle = "white"; // transparency is laid over white
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { data: context.getImageData(0, 0, width, height).data, step: 4, width, height };
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

  async probabilities(pixels) {
    const { session } = network;
    const images = new ort.Tensor("uint8", pixels.data, [1, pixels.height, pixels.width, 3]);
    const outputs = await session.run({ [session.inputNames[0]]: images });
    return outputs[session.outputNames[0]].data;
  },

  async classify(file) {
    const start = performance.now();
    const chances = await this.probabilities(await this.pixels(file));
    const { labels, threshold } = network.about;
    const order = [...chances.keys()].sort((a, b) => chances[b] - chances[a] || a - b).slice(0, 5);
    const entry = {
      name: file.name,
      labels: order.map((at) => labels[at]),
      probabilities: order.map((at) => chances[at]),
      unknown: threshold === null ? null : chances[order[0]] < threshold,
      threshold,
    };
    return { images: [entry], milliseconds: performance.now() - start };
  },
};
