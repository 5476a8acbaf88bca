// A runbook: the tree that the server made of a text, as elements. No markup of the text is one.
import { html } from './preact.js';

/** @import { Node, Runbook } from './api.js' */
/** @import { Part } from './parts.js' */
/** @type {Record<string, string>} */
const LOWER = { h2: 'h3', h3: 'h4' };

/** @param {string | null} href */
const leads = href => /^(https?:\/\/|\/runbooks\/)/.test(href ?? '') ? href : null;

/**
 * @param {Node} one
 * @returns {Part}
 */
const node = one => {
  if (!one.tag) return one.text;
  if (one.tag === 'pre') return html`<pre class="mono" tabindex="0">${one.text}</pre>`;
  if (one.tag === 'code') return html`<code>${one.text}</code>`;
  if (one.tag === 'a') return html`<a href=${leads(one.href)} rel="noreferrer">${one.children.map(node)}</a>`;
  const tag = LOWER[one.tag] ?? one.tag;
  return html`<${tag}>${one.children.map(node)}<//>`;
};

/** @param {{ book: Runbook }} props */
export const Book = ({ book }) => html`<div class="book">${book.nodes.map(node)}${book.url && html`<p><a href=${book.url} rel="noreferrer">${book.url}</a></p>`}</div>`;
