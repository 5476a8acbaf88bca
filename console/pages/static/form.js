// A question with fields: what changes something asks first, and says what it will do.
import { html, render } from './preact.js';

const control = one => {
  const { name, kind = 'line', value = '', options = [], required, most } = one;
  if (kind === 'area') return html`<textarea class="field area" name=${name} rows="4" maxlength=${most ?? 2000} required=${required}>${value}</textarea>`;
  if (kind === 'pick') return html`<select class="field" name=${name}>${options.map(([at, words]) => html`<option value=${at} selected=${at === value}>${words}</option>`)}</select>`;
  if (kind === 'many') return html`<span class="checks">${options.map(at => html`<label><input type="checkbox" name=${name} value=${at} checked=${value.includes(at)} /> ${at}</label>`)}</span>`;
  return html`<input class="field" name=${name} value=${value} list=${options.length ? `of-${name}` : null} maxlength=${most ?? 200} required=${required} autocomplete="off" />
    ${options.length ? html`<datalist id=${`of-${name}`}>${options.map(at => html`<option value=${at}></option>`)}</datalist>` : null}`;
};

/**
 * Asks; resolves to what was entered, by name, or null. fields: `[{ name, label, kind: line | area | pick | many, value, options,
 * required, most }]`.
 */
export function question({ title, text, fields, verb }) {
  const box = document.createElement('dialog');
  box.setAttribute('aria-label', title);
  document.body.append(box);
  return new Promise(resolve => {
    let found = null;
    const done = event => {
      event.preventDefault();
      const data = new FormData(event.target);
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
    box.querySelector('input, textarea, select')?.focus();
  });
}
