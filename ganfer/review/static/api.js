// The server's answers, and what every page shows at its top.

export async function get(path) {
  return answered(await fetch(path));
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return answered(await fetch(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

async function answered(response) {
  const body = await response.json().catch(() => ({ error: `The server answered ${response.status}.` }));
  if (!response.ok) throw new Error(body.error ?? `The server answered ${response.status}.`);
  return body;
}

export const byId = (id) => document.getElementById(id);

export function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  const { text, ...attributes } = options;
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => {
    const option = element("option", { text, value });
    option.selected = value === chosen;
    return option;
  }));
}

export async function start() {
  for (const link of document.querySelectorAll("nav a")) {
    if (new URL(link.href).pathname === location.pathname) link.setAttribute("aria-current", "page");
  }
  const about = await get("/api/about");
  byId("who").textContent = `${about.reviewer} reviews ${about.workspace}. Nothing leaves this machine.`;
  return about;
}

export const percent = (share) => `${(100 * share).toFixed(1)}%`;

export function agreementWords(pair) {
  const said = `${pair.reviewers.join(" and ")} agree on ${percent(pair.agreement)} of ${pair.n.toLocaleString("en")}`;
  if (pair.kappa === null) return said;
  return `${said}; Cohen's kappa ${pair.kappa.toFixed(2)} (${pair.low.toFixed(2)} to ${pair.high.toFixed(2)})`;
}
