/** Of golgi, as package.json has it: files that it writes say what wrote them. */
export const VERSION = "0.1.0";
