// A runbook on a page of its own.
import { page } from './app.js';
import { Book } from './book.js';
import { html } from './preact.js';

/** @import { Runbook } from './api.js' */
/** @import { Page, Seen } from './app.js' */

page((/** @type {Seen<Page & { runbook: Runbook }>} */ { told }) => html`<h2 class="title">${told.runbook.title}</h2><${Book} book=${told.runbook} />`, { pushed: 'nothing' });
