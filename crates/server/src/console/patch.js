// Brings what is shown up to date in place, so that focus, scrolling, selections and what is being typed
// stay as they are.

const HANDLERS = ["onsubmit", "oninput", "onchange", "onclick", "ondblclick", "onkeydown", "onpointerdown", "onpointermove", "onpointerup", "onpointerleave", "onblur"];
const keyOf = (one) => (one.nodeType === Node.ELEMENT_NODE ? one.getAttribute("data-key") : null);
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

// Makes the children of an element be as these are; known ones are kept, by key or by place.
function patch(parent, fresh) {
  const wanted = new Set(fresh.map(keyOf));
  [...parent.childNodes].filter((old) => keyOf(old) !== null && !wanted.has(keyOf(old))).forEach((old) => old.remove());
  const keyed = new Map([...parent.childNodes].map((old) => [keyOf(old), old]));
  let at = parent.firstChild;
  for (const next of fresh) {
    const known = keyOf(next) === null ? at : keyed.get(keyOf(next));
    if (!known || !alike(known, next)) {
      parent.insertBefore(next, at);
      continue;
    }
    if (known === at) at = at.nextSibling;
    else parent.insertBefore(known, at);
    renew(known, next);
  }
  while (at) {
    const after = at.nextSibling;
    at.remove();
    at = after;
  }
}

// What somebody types or was told belongs to the page, not to the server.
function renew(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  if (old.matches("output")) return;
  HANDLERS.forEach((name) => (old[name] = next[name]));
  const typed = old.matches("input, textarea, select");
  [...old.attributes].filter(({ name }) => !next.hasAttribute(name)).forEach(({ name }) => old.removeAttribute(name));
  [...next.attributes].forEach(({ name, value }) => {
    if (old.getAttribute(name) !== value && !(typed && name === "value")) old.setAttribute(name, value);
  });
  if (!typed) patch(old, [...next.childNodes]);
}

// The same for a whole view; an element that moved keeps the focus and its place on the screen, and where
// it is gone the view has the focus.
function show(parent, fresh) {
  const held = document.activeElement, inside = parent.contains(held);
  const top = held.getBoundingClientRect().top;
  patch(parent, fresh.filter(Boolean));
  if (inside && held !== document.activeElement) (held.isConnected ? held : parent).focus({ preventScroll: true });
  if (inside && held.isConnected && held !== parent) window.scrollBy({ top: held.getBoundingClientRect().top - top, behavior: "instant" });
}
