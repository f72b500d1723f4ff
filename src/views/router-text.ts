import type { Router, RouterLayer } from "./router.ts";
import { expertItem } from "./router-choices.ts";
import type { RouterRow } from "./router-rows.ts";
import { figures } from "./text/figures.ts";
import { itemLines } from "./text/item-lines.ts";
import { table } from "./text/table.ts";
import { asManyAsFit, clip, quoteToken, widthOf } from "./text/width.ts";

/** Of one layer every token, of several one token; then who was busy, and what came of it. */
export function printRouter(data: Router, width: number): string {
  const { tokens, position, layers, rows, nExperts, nExpertsPerToken, label, value } = data;
  const isOne = layers.length === 1;
  const at = `token ${position} ${quoteToken(tokens[position].text)}`;
  const what = `${nExpertsPerToken} of ${nExperts} experts for each of ${tokens.length} tokens`;
  const shown = isOne ? rows : rows.filter((row) => row.position === position);
  return [
    clip(isOne ? `The router of layer ${layers[0].layer}: ${what}` : `The routers at ${at}: ${what}`, width),
    printRows(shown, isOne, width),
    "",
    clip("Tokens that went to each expert, the busiest first", width),
    printLoad(layers, width),
    "",
    clip(`${label} at ${at}: ${value.toPrecision(5)}, of which experts gave`, width),
    printLogit(layers, width),
  ].join("\n");
}

const TOKEN_WIDTH = 10;
const MIN_EXPERTS_WIDTH = 10;
const GAP = 2;

function printRows(rows: readonly RouterRow[], isOneLayer: boolean, width: number): string {
  const hasShared = rows.some(({ sharedShare }) => sharedShare !== undefined);
  const hasGroups = rows.some(({ groups }) => groups !== undefined);
  const writeMargin = figures(rows.flatMap(({ margin }) => margin ?? []));
  const columns: Column[] = [
    ...(isOneLayer ? [column("at", rows, ({ position }) => `${position}`, "right")] : []),
    ...(isOneLayer ? [column("token", rows, ({ text }) => clip(quoteToken(text), TOKEN_WIDTH))] : []),
    ...(isOneLayer ? [] : [column("layer", rows, ({ layer }) => `L${layer}`)]),
    column("experts and weights", rows, () => ""),
    column("margin", rows, ({ margin }) => (margin === null ? "–" : writeMargin(margin)), "right"),
    column("entropy", rows, ({ entropy }) => entropy.toFixed(2), "right"),
    ...(hasGroups ? [column("groups", rows, ({ groups }) => (groups ?? []).join(" "))] : []),
    column("routed", rows, ({ routedShare }) => share(routedShare), "right"),
    ...(hasShared ? [column("shared", rows, ({ sharedShare }) => share(sharedShare), "right")] : []),
  ];
  const own = columns.findIndex(({ head }) => head === "experts and weights");
  const beside = columns
    .filter((_, i) => i !== own)
    .reduce((total, { head, cells }) => {
      return total + GAP + Math.max(...[head, ...cells].map(widthOf));
    }, 0);
  const lines = rows.flatMap(({ experts }, row) =>
    itemLines(experts.map(expertItem), Math.max(MIN_EXPERTS_WIDTH, width - beside)).map((line, i) =>
      columns.map(({ cells }, at) => (at === own ? line : i === 0 ? cells[row] : "")),
    ),
  );
  const head = columns.map((one) => one.head);
  return [table({ head, rows: lines, align: columns.map(({ align }) => align), width }), ...marginNote(rows)].join(
    "\n",
  );
}

interface Column {
  readonly head: string;
  readonly cells: readonly string[];
  readonly align: "left" | "right";
}

function column(
  head: string,
  rows: readonly RouterRow[],
  cell: (row: RouterRow) => string,
  align: Column["align"] = "left",
): Column {
  return { head, cells: rows.map(cell), align };
}

/** What a margin that is no number means. */
function marginNote(rows: readonly RouterRow[]): string[] {
  const open = rows.filter(({ margin }) => margin === null);
  if (open.length === 0) return [];
  const isForced = open.some(({ firstNotChosen }) => firstNotChosen !== null);
  const none = "no other expert may be chosen there: others are outside the kept groups, or banned, or there are none";
  return [`– ${isForced ? `an edit decides there, or ${none}` : none}`];
}

function share(part: number | null | undefined): string {
  return part === null || part === undefined ? "–" : `${(100 * part).toFixed(0)}%`;
}

function printLoad(layers: readonly RouterLayer[], width: number): string {
  return table({
    head: ["layer", "idle", "busiest"],
    rows: layers.map(({ layer, load }) => {
      const busiest = load.filter(({ nTokens }) => nTokens > 0).toSorted((a, b) => b.nTokens - a.nTokens);
      const items = busiest.map(({ expert, nTokens, share: part }) => `E${expert} ${nTokens} (${share(part)})`);
      return [`L${layer}`, load.length - busiest.length, asManyAsFit(items, width - 14)];
    }),
    width,
  });
}

function printLogit(layers: readonly RouterLayer[], width: number): string {
  const hasShared = layers.some(({ logit }) => logit.shared !== undefined);
  return table({
    head: ["layer", "routed", ...(hasShared ? ["shared"] : []), "the largest of them"],
    rows: layers.map(({ layer, logit: { routed, shared, experts } }) => {
      const items = experts.map(({ expert, value }) => `E${expert} ${value < 0 ? "" : "+"}${value.toPrecision(3)}`);
      return [`L${layer}`, routed, ...(hasShared ? [shared] : []), asManyAsFit(items, width - 30)];
    }),
    width,
  });
}
