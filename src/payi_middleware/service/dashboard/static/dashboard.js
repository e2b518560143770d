// What pages do beyond links and forms: the scheme's switch, charts, copying, the live page. All of it is optional.
(() => {
  "use strict";
  const root = document.documentElement;
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

  // --- the scheme -------------------------------------------------------------------------------------------------
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark.matches);

  function prepareSwitch() {
    const button = document.querySelector("[data-theme-switch]");
    const name = () => {
      button.querySelector("[data-theme-name]").textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try {
        localStorage.setItem("payi-theme", root.dataset.theme);
      } catch {
        // It holds for this page, then.
      }
      name();
      drawCharts();
    });
    systemIsDark.addEventListener("change", () => {
      name();
      drawCharts();
    });
    name();
  }

  // --- charts -----------------------------------------------------------------------------------------------------
  const drawn = new Map();

  // A colour as the canvas takes it: what light-dark() comes to in the scheme that holds.
  function colour(name) {
    const probe = document.createElement("span");
    probe.className = `probe-${name}`;
    probe.hidden = true;
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  }

  function dollars(value, places) {
    const shown = Number(value.toFixed(places));
    const needed = value && !shown ? Math.min(10, 2 - Math.floor(Math.log10(value))) : places;
    return `$${value.toLocaleString("en-US", { minimumFractionDigits: needed, maximumFractionDigits: needed })}`;
  }

  // As many decimals as the distance between two marks needs, the same for all of them.
  function axis(value, ticks) {
    const step = ticks.length > 1 ? Math.abs(ticks[1].value - ticks[0].value) : 1;
    const needed = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    return value ? `$${value.toLocaleString("en-US", { minimumFractionDigits: needed, maximumFractionDigits: needed })}` : "$0";
  }

  function read(table) {
    const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent);
    const rows = [...table.tBodies[0].rows];
    const series = rows.length ? rows[0].querySelectorAll("[data-value]").length : 0;
    return {
      labels: rows.map((row) => row.cells[0].dataset.short),
      titles: rows.map((row) => row.cells[0].textContent),
      series: names.slice(0, series).map((name, place) => ({
        name,
        values: rows.map((row) => Number(row.querySelectorAll("[data-value]")[place].dataset.value)),
      })),
    };
  }

  function draw(canvas) {
    const table = document.getElementById(canvas.dataset.chart);
    const places = Number(table.dataset.places);
    const told = read(table);
    const ink = colour("ink");
    const line = colour("line");
    drawn.get(canvas)?.destroy();
    const narrow = canvas.parentElement.clientWidth < 560;
    const chart = new Chart(canvas, {
      type: "bar",
      data: {
        labels: told.labels,
        datasets: told.series.map((one, place) => ({
          label: one.name,
          data: one.values,
          backgroundColor: colour(one.name === "All others" ? "rest" : `series-${place + 1}`),
          borderRadius: 2,
          maxBarThickness: 44,
          categoryPercentage: 0.86,
          barPercentage: 0.96,
        })),
      },
      options: {
        animation: false,
        maintainAspectRatio: false,
        interaction: { mode: "index", intersect: false },
        scales: {
          x: {
            stacked: true,
            grid: { display: false },
            border: { color: line },
            ticks: { color: ink, maxRotation: 0, autoSkipPadding: 18, font: { size: 11 } },
          },
          y: {
            stacked: true,
            beginAtZero: true,
            border: { display: false },
            grid: { color: line },
            ticks: { color: ink, maxTicksLimit: 6, font: { size: 11 }, callback: (value, _, ticks) => axis(value, ticks) },
          },
        },
        plugins: {
          legend: {
            display: told.series.length > 1,
            position: narrow ? "bottom" : "top",
            align: "start",
            labels: { color: ink, boxWidth: 10, boxHeight: 10, useBorderRadius: true, borderRadius: 2, padding: 12, font: { size: 12 } },
          },
          tooltip: {
            itemSort: (one, other) => other.raw - one.raw,
            filter: (item) => item.raw > 0,
            callbacks: {
              title: (items) => (items.length ? told.titles[items[0].dataIndex] : ""),
              label: (item) => ` ${item.dataset.label}: ${dollars(item.raw, places)}`,
              footer: (items) =>
                items.length > 1 ? `Sum: ${dollars(items.reduce((sum, item) => sum + item.raw, 0), places)}` : "",
            },
          },
        },
      },
    });
    drawn.set(canvas, chart);
  }

  function drawCharts() {
    if (typeof Chart === "undefined") return;
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    for (const canvas of document.querySelectorAll("canvas[data-chart]")) {
      canvas.parentElement.hidden = false;
      draw(canvas);
    }
  }

  // --- copying ----------------------------------------------------------------------------------------------------
  function prepareCopying() {
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = "Copied";
      });
    }
  }

  // --- forms ------------------------------------------------------------------------------------------------------
  // Addresses stay short: what was left empty is not sent.
  function prepareForms() {
    for (const form of document.querySelectorAll("form[method=get]")) {
      const before = new Map([...form.elements].map((field) => [field, field.value]));
      form.addEventListener("submit", () => {
        const dates = [...form.querySelectorAll("input[type=date]")];
        const sameDates = dates.every((field) => before.get(field) === field.value);
        const period = new URLSearchParams(location.search).get("period");
        if (sameDates && period !== "custom") {
          for (const field of dates) field.disabled = true;
          if (period) {
            const kept = document.createElement("input");
            kept.type = "hidden";
            kept.name = "period";
            kept.value = period;
            form.append(kept);
          }
        }
        for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
      });
    }
    addEventListener("pageshow", (event) => {
      if (event.persisted) for (const field of document.querySelectorAll("form :disabled")) field.disabled = false;
    });
  }

  // --- the live page ----------------------------------------------------------------------------------------------
  function prepareLive() {
    const button = document.querySelector("[data-live-pause]");
    if (!button) return;
    const status = document.querySelector("[data-live-status]");
    let paused = false;
    button.addEventListener("click", () => {
      paused = !paused;
      button.setAttribute("aria-pressed", String(paused));
      status.textContent = paused ? "Paused." : "What comes in is shown within two seconds.";
    });
    document.addEventListener("htmx:before:request", (event) => {
      if (paused && event.target.id === "live") event.preventDefault();
    });
  }

  prepareSwitch();
  drawCharts();
  prepareCopying();
  prepareForms();
  prepareLive();
})();
