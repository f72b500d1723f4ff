const MONTHS = [
  ...["January", "February", "March", "April", "May", "June", "July"],
  ...["August", "September", "October", "November", "December"],
];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** A local time as Python's `strftime` prints it in the C locale. @throws Error for a directive that it does not know. */
export function strftime(time: Date, format: string): string {
  return format.replaceAll(/%(-?)(.)/gsu, (directive, dash: string, letter: string) => {
    const value = fieldOf(time, letter);
    if (value === undefined) throw new Error(`strftime_now() knows no ${directive}`);
    return dash === "" ? value : value.replace(/^0+(?=\d)/, "");
  });
}

function fieldOf(time: Date, letter: string): string | undefined {
  const [month, day] = [MONTHS[time.getMonth()] as string, DAYS[time.getDay()] as string];
  const hour = time.getHours();
  switch (letter) {
    case "Y":
      return padded(time.getFullYear(), 4);
    case "y":
      return padded(time.getFullYear() % 100);
    case "m":
      return padded(time.getMonth() + 1);
    case "B":
      return month;
    case "b":
      return month.slice(0, 3);
    case "d":
      return padded(time.getDate());
    case "e":
      return `${time.getDate()}`.padStart(2);
    case "A":
      return day;
    case "a":
      return day.slice(0, 3);
    case "H":
      return padded(hour);
    case "I":
      return padded(hour % 12 || 12);
    case "p":
      return hour < 12 ? "AM" : "PM";
    case "M":
      return padded(time.getMinutes());
    case "S":
      return padded(time.getSeconds());
    case "%":
      return "%";
    default:
      return undefined;
  }
}

function padded(value: number, width = 2): string {
  return `${value}`.padStart(width, "0");
}
