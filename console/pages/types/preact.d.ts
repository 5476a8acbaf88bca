// What our pages use of vendor/preact.js (htm with Preact, its standalone build).

/** What a component shows; made by `html` alone. */
export interface Shown { readonly shown: unique symbol }

/** A place in a template takes anything that can be shown, a component, or what is done at an event. */
type Value = {} | null | undefined | ((one: any) => unknown);

export function html(texts: TemplateStringsArray, ...values: Value[]): Shown;
export function render(shown: Shown | string | number | null, into: Element): void;

export abstract class Component<P = {}, S = {}> {
  constructor(props: P);
  readonly props: Readonly<P>;
  state: S;
  /** The element that it shows, once it does. */
  readonly base?: Element;
  setState(part: Partial<S>): void;
  componentDidMount?(): void;
  componentDidUpdate?(before: Readonly<P>): void;
  componentWillUnmount?(): void;
  abstract render(props: Readonly<P>, state: Readonly<S>): Shown;
}

export function useState<T>(first: T): [T, (next: T) => void];
export function useRef<T>(first: T): { current: T };
export function useEffect(then: () => void, when?: readonly unknown[]): void;
