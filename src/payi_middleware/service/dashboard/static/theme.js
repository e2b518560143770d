// Before anything is painted: the scheme that was chosen here before, if any. Without one, the system's holds.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("payi-theme");
  } catch {
    // Storage may be switched off: then the system's scheme holds.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
