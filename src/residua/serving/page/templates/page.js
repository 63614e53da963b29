"use strict";

const TRIES = 6; // of a request that a busy server puts off
let token = "";

async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  for (let tries = 1; ; tries += 1) {
    const response = await fetch(path, { ...options, headers });
    if (tries < TRIES && response.status === 503 && response.headers.get("Retry-After")) {
      const seconds = Math.min(30, Number(response.headers.get("Retry-After")) || 1);
      await new Promise((resume) => setTimeout(resume, 1000 * seconds));
      continue;
    }
    const document = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
    if (response.status === 401) {
      $("access").hidden = false;
      $("token").focus();
      if (token) throw new Error("The server does not take this token. Check it, and try again.");
    }
    if (!response.ok) throw new Error(document.error || response.statusText);
    return document;
  }
}

function address(model, explain) {
  const query = new URLSearchParams({ top: "5" });
  if (model) {
    query.set("model", model.name);
    query.set("version", model.version);
  }
  if (explain) query.set("explain", "1");
  return `predict?${query}`;
}

const answers = {
  where: "on the server",
  explains: true,
  atATime: 4,
  async models() {
    const { models } = await ask("about");
    $("access").hidden = true;
    return models;
  },
  classify: (file, model, explain) => ask(address(model, explain), { method: "POST", body: file }),
};

{% include "classify.js" %}

$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  begin();
});
