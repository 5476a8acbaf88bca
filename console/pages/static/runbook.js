// A runbook on a page of its own.
import { page } from './app.js';
import { Book } from './book.js';
import { html } from './preact.js';

page(({ told }) => html`<h2 class="title">${told.runbook.title}</h2><${Book} book=${told.runbook} />`, { pushed: 'nothing' });
