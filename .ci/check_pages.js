// The browser's half of check_pages.py: opens page after page in a frame and posts what is wrong.
const frame = document.getElementById("frame");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function open(page, width) {
  frame.style.width = width + "px";
  await new Promise((loaded) => { frame.onload = loaded; frame.src = page; });
  const view = frame.contentWindow, doc = frame.contentDocument, faults = view.faults;
  for (const img of doc.images) {
    img.loading = "eager";
    await img.decode().catch(() => faults.push("no picture: " + img.alt));
  }
  if (view.MathJax?.startup) await view.MathJax.startup.promise;
  const formulas = doc.querySelectorAll(".math").length;
  const typeset = doc.querySelectorAll(".math mjx-container").length;
  if (formulas > typeset) faults.push(`${formulas - typeset} formulas are not typeset`);
  if (doc.querySelector("mjx-merror")) faults.push("a formula with an error");
  for (const e of doc.querySelectorAll("script[src], img, iframe, link[rel=stylesheet]")) {
    const place = e.src || e.href;
    if (!place.startsWith(location.origin) && !place.startsWith("data:"))
      faults.push("fetched from elsewhere: " + place);
  }
  const wide = doc.documentElement.scrollWidth - view.innerWidth;
  if (wide > 1) faults.push(`${wide} pixels wider than the window`);
  return faults.map((fault) => `${page} at ${width}: ${fault}`);
}

async function search(word) {
  await open("search.html?q=" + word, 1300);
  for (let tries = 0; tries < 100; tries++) {
    if (frame.contentDocument.querySelector("#search-results li")) return [];
    await pause(100);
  }
  return [`the search for ${word} finds nothing`];
}

async function check(pages, widths) {
  const faults = [];
  try {
    for (const page of pages)
      for (const width of widths) faults.push(...(await open(page, width)));
    faults.push(...(await search("squeeze")));
  } catch (error) {
    faults.push("the check itself failed: " + error);
  }
  await fetch("/done", { method: "POST", body: JSON.stringify(faults) });
}
