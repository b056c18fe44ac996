/**
 * Returns a function that asks for paint to be called in the next animation frame, but not sooner than interval after
 * the last time. However often it is asked, paint runs once; while the tab is hidden, not at all.
 */
export function painter(paint, interval = 0) {
  let asked = false;
  let last = -Infinity;
  const frame = (now) => {
    if (now - last < interval) {
      requestAnimationFrame(frame);
      return;
    }
    asked = false;
    last = now;
    paint();
  };
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(frame);
  };
}
