/** Buttons that copy, say that they did, and give the text to copy where the browser refuses. */

import { fill, h } from "../../dom.js";

/**
 * Buttons with one status line.
 *
 * @param {{label: string, said: string, text: () => string|Promise<string>}[]} what each copies,
 *   and what is said when it is done
 * @returns {{buttons: HTMLElement[], status: HTMLElement}}
 */
export function copying(what) {
  const status = h("div", { class: "copied", role: "status" });
  const buttons = what.map(({ label, said, text }) =>
    h("button", { type: "button", onclick: async () => {
      let copied;
      try {
        copied = await text();
      } catch (error) {
        fill(status, h("span", { class: "problem" }, error.message));
        return;
      }
      try {
        await navigator.clipboard.writeText(copied);
        fill(status, said);
      } catch {
        // No clipboard without https or without leave: the person copies by hand.
        const area = h("textarea", { readonly: true, rows: "3", "aria-label": "Text to copy" });
        area.value = copied;
        const why = "The browser does not let this page copy. Here is the text:";
        fill(status, h("span", {}, why), area);
        area.focus();
        area.select();
      }
    } }, label));
  return { buttons, status };
}
