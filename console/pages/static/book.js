// A runbook: the tree that the server made of a text, as elements. No markup of the text is one.
import { html } from './preact.js';

const leads = href => /^(https?:\/\/|\/runbooks\/)/.test(href ?? '') ? href : null;

const node = one => {
  if (!one.tag) return one.text;
  if (one.tag === 'pre') return html`<pre class="mono" tabindex="0">${one.text}</pre>`;
  if (one.tag === 'code') return html`<code>${one.text}</code>`;
  if (one.tag === 'a') return html`<a href=${leads(one.href)} rel="noreferrer">${one.children.map(node)}</a>`;
  const tag = { h2: 'h3', h3: 'h4' }[one.tag] ?? one.tag;
  return html`<${tag}>${one.children.map(node)}<//>`;
};

export const Book = ({ book }) => html`<div class="book">${book.nodes.map(node)}${book.url && html`<p><a href=${book.url} rel="noreferrer">${book.url}</a></p>`}</div>`;
