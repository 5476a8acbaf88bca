// What our charts use of vendor/uplot.js.

type Column = readonly (number | null)[];

interface Scale { time?: boolean; range?: () => [number, number] }

interface Axis {
  stroke?: string;
  font?: string;
  grid?: Pen;
  ticks?: Pen;
  gap?: number;
  size?: number;
  space?: number;
  splits?: () => number[];
  values?: (plot: uPlot, all: number[]) => string[];
}

interface Pen { show?: boolean; stroke?: string; width?: number; size?: number }

interface Series { stroke?: string; width?: number; dash?: number[]; points?: { show: boolean }; spanGaps?: boolean }

interface Box { left: number; top: number; width: number; height: number }

type Hook = (plot: uPlot) => void;

interface Options {
  width: number;
  height: number;
  legend?: { show: boolean };
  padding?: [number, number, number, number];
  cursor?: { y?: boolean; drag?: { x: boolean; y: boolean; setScale: boolean }; points?: { size: number }; sync?: { key: string } };
  select?: { show: boolean };
  scales?: Record<string, Scale>;
  axes?: Axis[];
  series: Series[];
  hooks?: { drawAxes?: Hook[]; draw?: Hook[]; setCursor?: Hook[]; setSelect?: Hook[] };
}

export default class uPlot {
  constructor(options: Options, data: Column[], into: Element);
  readonly width: number;
  /** The plot without its axes, in pixels of the canvas. */
  readonly bbox: Box;
  readonly ctx: CanvasRenderingContext2D;
  readonly cursor: { left: number; top: number; idx: number | null };
  readonly select: Box;
  setData(data: Column[]): void;
  setCursor(at: { left: number; top: number }): void;
  setSelect(box: Box, tell: boolean): void;
  /** The value at a place, in pixels of the plot. */
  posToVal(at: number, scale: string): number;
  /** The place of a value, in pixels of the plot, or of the canvas. */
  valToPos(value: number, scale: string, canvas?: boolean): number;
  destroy(): void;
}
