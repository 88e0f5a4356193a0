import type { BenchRecord } from "../record.ts";
export function htmlReport(_record: BenchRecord): string {
  return "";
}
