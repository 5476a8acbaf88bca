// A question with fields: what changes something asks first, and says what it will do.
import { html, render } from './preact.js';

/** @typedef {{ name: string, label: string, required?: boolean, most?: number }} Named */
/** @typedef {Named & { kind?: 'line' | 'area', value?: string, options?: string[] }} Line a text; options: what is proposed */
/** @typedef {Named & { kind: 'pick', value?: string, options: [value: string, words: string][] }} Pick one of several */
/** @typedef {Named & { kind: 'many', value?: string[], options: string[] }} Many any of several */
/** @typedef {Line | Pick | Many} Field */

/** @param {Field} one */
const control = one => {
  const { name, required, most } = one;
  if (one.kind === 'area') return html`<textarea class="field area" name=${name} rows="4" maxlength=${most ?? 2000} required=${required}>${one.value ?? ''}</textarea>`;
  if (one.kind === 'pick') return html`<select class="field" name=${name}>${one.options.map(([at, words]) => html`<option value=${at} selected=${at === (one.value ?? '')}>${words}</option>`)}</select>`;
  if (one.kind === 'many') return html`<span class="checks">${one.options.map(at => html`<label><input type="checkbox" name=${name} value=${at} checked=${one.value?.includes(at)} /> ${at}</label>`)}</span>`;
  const { value = '', options = [] } = one;
  return html`<input class="field" name=${name} value=${value} list=${options.length ? `of-${name}` : null} maxlength=${most ?? 200} required=${required} autocomplete="off" />
    ${options.length ? html`<datalist id=${`of-${name}`}>${options.map(at => html`<option value=${at}></option>`)}</datalist>` : null}`;
};

/**
 * Asks; resolves to what was entered, by name, or null: of fields of which many can be chosen a list.
 * @param {{ title: string, text?: string, fields: Field[], verb: string }} what
 * @returns {Promise<Record<string, any> | null>}
 */
export function question({ title, text, fields, verb }) {
  const box = document.createElement('dialog');
  box.setAttribute('aria-label', title);
  document.body.append(box);
  return new Promise(resolve => {
    /** @type {Record<string, any> | null} */
    let found = null;
    const done = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const data = new FormData(/** @type {HTMLFormElement} */ (event.target));
      found = Object.fromEntries(fields.map(one => [one.name, one.kind === 'many' ? data.getAll(one.name) : data.get(one.name)]));
      box.close();
    };
    box.addEventListener('close', () => { box.remove(); resolve(found); });
    render(html`<h2>${title}</h2>${text && html`<p class="why">${text}</p>`}
      <form onSubmit=${done}>${fields.map(one => one.kind === 'many'
        ? html`<fieldset><legend>${one.label}</legend>${control(one)}</fieldset>`
        : html`<label>${one.label}${control(one)}</label>`)}
        <p class="do"><button class="btn main">${verb}</button> <button class="btn" type="button" onClick=${() => box.close()}>Leave it</button></p>
      </form>`, box);
    box.showModal();
    /** @type {HTMLElement | null} */ (box.querySelector('input, textarea, select'))?.focus();
  });
}
