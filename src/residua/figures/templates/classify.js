const $ = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(share > 0.999 || share < 0.001 ? 2 : 1)}%`;
const MOST = 50;
const FEW = 5; // more are shown as lines
const NAMED = 3; // of the files that are left out
let models = [];
let saved = []; // [name of the file, answer or error] of each image

const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

async function begin() {
  try {
    models = await answers.models();
    say("");
  } catch (error) {
    $("about").textContent = "";
    say(error.message, true);
    return;
  }
  const options = models.map((model, at) => new Option(`${model.name}, version ${model.version}`, at));
  $("model").replaceChildren(...options);
  $("choice").hidden = models.length < 2;
  describe();
}

function chosen() {
  return models[$("model").value || 0];
}

function describe() {
  const model = chosen();
  if (!model) {
    $("about").textContent = "No model is loaded yet.";
    return;
  }
  const name = document.createElement("b");
  name.textContent = model.name;
  const parts = document.createDocumentFragment();
  if (model.label_thresholds) {
    parts.append(name, ` is a ${model.network} that decides for each of ${model.classes} labels whether an image has it.`);
  } else {
    parts.append(name, ` is a ${model.network} with ${model.classes} classes. `);
  }
  if (model.label_thresholds) {
    parts.append(" Each label has a threshold of its own.");
  } else if (model.top1 === null) {
    parts.append("How good it is was not recorded.");
  } else {
    const part = { val: "held-out", test: "test" }[model.split] || model.split || "measured";
    parts.append(`It was right on ${percent(model.top1)}`);
    parts.append(model.count ? ` of ${model.count.toLocaleString("en")} ${part} images` : ` of the ${part} images`);
    parts.append(model.data ? ` of ${model.data}.` : ".");
  }
  if (model.rejection && model.threshold === null) parts.append(' What is like none of its classes it calls "unknown".');
  if (model.threshold !== null) parts.append(` Below ${percent(model.threshold)} it answers "unknown".`);
  $("about").replaceChildren(parts);
}

function collapse(element, name) {
  const button = element.querySelector(".more");
  const fold = (closed) => {
    element.classList.toggle("line", closed);
    element.querySelector(".rest").hidden = closed;
    button.textContent = closed ? "Details" : "Less";
    button.setAttribute("aria-label", `${button.textContent} of ${name}`);
    button.setAttribute("aria-expanded", String(!closed));
  };
  element.classList.add("listed");
  button.hidden = false;
  button.addEventListener("click", () => fold(!element.classList.contains("line")));
  fold(true);
}

function card(file, many) {
  const element = $("card").content.firstElementChild.cloneNode(true);
  const part = (selector) => element.querySelector(selector);
  const name = file.name || "Pasted image";
  part("h3").textContent = name;
  part(".verdict").textContent = "Waiting…";
  part(".evidence").hidden = true;
  const photo = part(".photo");
  photo.alt = name;
  photo.src = URL.createObjectURL(file);
  photo.addEventListener("load", () => URL.revokeObjectURL(photo.src), { once: true });
  photo.addEventListener("error", () => { photo.hidden = true; }, { once: true });
  if (many) collapse(element, name);
  $("results").append(element);
  return element;
}

// What is listed below a verdict: the classes as they are answered, or of several labels the most probable ones.
function ranked(entry) {
  if (!entry.all_probabilities) return entry.labels.map((label, at) => [label, entry.probabilities[at]]);
  const every = Object.entries(entry.all_probabilities).sort((a, b) => b[1] - a[1]);
  return every.slice(0, Math.max(FEW, entry.labels.length));
}

function show(element, entry, milliseconds) {
  const part = (selector) => element.querySelector(selector);
  const verdict = part(".verdict");
  const several = Boolean(entry.all_probabilities);
  const [label] = entry.labels;
  const sure = percent(entry.probabilities[0]);
  const best = document.createElement("b");
  if (several) {
    best.textContent = entry.labels.join(", ") || "No label";
    verdict.replaceChildren(best);
  } else if (entry.unknown) {
    best.textContent = "Unknown. ";
    verdict.replaceChildren(best, entry.threshold === null
      ? `It is like none of the classes. The best guess would be ${label}.`
      : `The best guess, ${label}, has ${sure}; an answer needs ${percent(entry.threshold)}.`);
    element.classList.add("unknown");
  } else {
    best.textContent = label;
    verdict.replaceChildren(best, ` ${sure}`);
  }
  part(".ranks").replaceChildren(...ranked(entry).map(([each, chance], at) => {
    // The verdict has said the first already: its bar alone stands below.
    const said = at === 0 && !entry.unknown && !several;
    const row = document.createElement("li");
    const [text, share, track, fill] = ["span", "span", "div", "div"].map((kind) => document.createElement(kind));
    text.textContent = each;
    share.textContent = percent(chance);
    share.className = "chance";
    text.hidden = share.hidden = said;
    if (said) row.setAttribute("aria-hidden", "true");
    track.className = "scale";
    track.setAttribute("aria-hidden", "true");
    fill.className = "part";
    fill.style.width = `${100 * chance}%`;
    track.append(fill);
    row.append(text, share, track);
    return row;
  }));
  part(".evidence").hidden = !answers.explains || chosen()?.explains === false;
  part(".timing").textContent = `${milliseconds.toFixed(0)} ms ${answers.where}`;
}

function fail(element, message) {
  const verdict = element.querySelector(".verdict");
  verdict.textContent = message;
  verdict.classList.add("wrong");
}

async function explain(element, file) {
  const button = element.querySelector(".evidence button");
  button.disabled = true;
  try {
    const answer = await answers.classify(file, chosen(), true);
    const [entry] = answer.images;
    const map = element.querySelector(".map");
    const note = element.querySelector(".strength small");
    if (!entry.overlay) throw new Error(entry.note || "This network has no feature maps to explain.");
    const photo = element.querySelector(".photo");
    photo.hidden = false;
    // Both as the network saw them, so that the map lies where its evidence is.
    photo.src = entry.image;
    map.src = entry.overlay;
    const [[target]] = ranked(entry);
    map.alt = `Evidence for ${target}, ${entry.method}`;
    map.hidden = false;
    note.textContent = entry.evidence > 0 ? `for ${target} (${entry.method})` : "none was found";
    element.querySelector(".evidence").hidden = true;
    const strength = element.querySelector(".strength");
    strength.hidden = false;
    const slider = strength.querySelector("input");
    slider.addEventListener("input", () => { map.style.opacity = slider.value / 100; });
    slider.focus();
  } catch (error) {
    button.disabled = false;
    say(error.message, true);
  }
}

// Left out, and why; "" for none.
function omitted(files, reason) {
  if (!files.length) return "";
  const names = files.slice(0, NAMED).map((file) => file.name).join(", ");
  const rest = files.length > NAMED ? `, and ${files.length - NAMED} more` : "";
  return ` ${counted(files.length, "file")} ${files.length === 1 ? "was" : "were"} left out, ${reason}: ${names}${rest}.`;
}

function csv() {
  const cell = (value) => {
    const text = String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const names = Object.keys(saved.map(([, answer]) => answer.all_probabilities).find(Boolean) ?? {});
  if (names.length) {
    const head = ["path", "labels", ...names.map((name) => `p(${name})`), "error"];
    const lines = saved.map(([name, { labels = [], all_probabilities: chances = {}, error }]) => (
      [name, labels.join(";"), ...names.map((each) => chances[each]), error]
    ));
    return [head, ...lines].map((line) => `${line.map(cell).join(",")}\n`).join("");
  }
  const ranks = Math.max(1, ...saved.map(([, answer]) => answer.labels?.length ?? 0));
  const more = Array.from({ length: ranks - 1 }, (_, at) => [`label${at + 2}`, `probability${at + 2}`]).flat();
  const rows = saved.map(([name, { labels = [], probabilities = [], unknown, error }]) => {
    const pairs = Array.from({ length: ranks }, (_, at) => [labels[at], probabilities[at]]).flat();
    return [name, ...pairs, unknown, error];
  });
  const table = [["path", "label", "probability", ...more, "unknown", "error"], ...rows];
  return table.map((row) => `${row.map(cell).join(",")}\n`).join("");
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "answers.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function classify(files) {
  const readable = (file) => !file.type || file.type.startsWith("image/");
  const images = [...files].filter(readable).slice(0, MOST);
  const over = [...files].filter(readable).slice(MOST);
  const others = [...files].filter((file) => !readable(file));
  const left = omitted(others, others.length === 1 ? "which is no image" : "which are no images")
    + omitted(over, `since more than ${MOST} were given`);
  if (!images.length) {
    say(`No image among these files.${left}`, true);
    return;
  }
  say("Working…");
  $("heading").hidden = false;
  $("save").hidden = true;
  $("results").replaceChildren();
  const work = images.map((file, at) => [file, card(file, images.length > FEW), at]);
  const answered = images.map((file) => [file.name, {}]);
  let done = 0;
  let failed = 0;
  const one = async ([file, element, at]) => {
    try {
      const answer = await answers.classify(file, chosen(), false);
      answered[at][1] = answer.images[0];
      show(element, answer.images[0], answer.milliseconds);
      element.querySelector(".evidence button").addEventListener("click", () => explain(element, file));
    } catch (error) {
      failed += 1;
      answered[at][1] = { error: error.message };
      fail(element, error.message);
    }
    done += 1;
    const bad = failed ? `, ${failed} without an answer` : "";
    say(`${done} of ${counted(images.length, "image")} done${bad}.${left}`);
  };
  const queue = [...work];
  const worker = async () => { while (queue.length) await one(queue.shift()); };
  await Promise.all(Array.from({ length: answers.atATime }, worker));
  // Of two choices, one behind the other, the page shows the latter.
  if (work[0][1].isConnected) {
    saved = answered;
    $("save").hidden = false;
  }
}

for (const id of ["files", "camera"]) {
  $(id).addEventListener("change", (event) => {
    classify(event.target.files).finally(() => { event.target.value = ""; });
  });
}
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) classify(event.clipboardData.files);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) classify(event.dataTransfer.files);
  });
}
$("model").addEventListener("change", describe);
$("save").addEventListener("click", save);
begin();
