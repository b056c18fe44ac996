/** Makes an element with properties and children (elements or text). Text is never read as markup. */
export function element(tag, properties = {}, ...children) {
  const e = Object.assign(document.createElement(tag), properties);
  e.append(...children);
  return e;
}

/** The value of a colour of style.css, e.g. color('up'). */
export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Calls fn when the colours change between dark and light. */
export function onColorsChanged(fn) {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', fn);
}
