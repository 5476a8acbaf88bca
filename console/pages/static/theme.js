// Before the first paint: the theme that was chosen, or else the system's.
(() => {
  const system = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  let chosen = null;
  try { chosen = localStorage.getItem('tillwatch-theme'); } catch { /* storage is switched off */ }
  document.documentElement.dataset.theme = new URLSearchParams(location.search).get('theme') ?? chosen ?? system;
})();
