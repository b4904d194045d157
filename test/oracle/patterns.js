// Random patterns of ECMA-262, and in which strings Node.js finds them.
//
//	node patterns.js COUNT SEED
//
// prints a line of JSON for each: [pattern, [string, found], ...].

const [count, seed] = process.argv.slice(2).map(Number);

// A generator of our own, so that a seed means the same everywhere.
let state = BigInt(seed);
function below(n) {
	state = (state * 6364136223846793005n + 1442695040888963407n) % 18446744073709551616n;
	return Number((state >> 33n) % BigInt(n));
}
const choose = (list) => list[below(list.length)];

const atoms = ['a', 'b', 'A', '\u00e9', '\u{1F600}', '\\d', '\\D', '\\w', '\\W', '\\s', '\\S', '.', '.', '[ab]', '[^a]', '[a-c\\d]', '[]', '[^]',
	'\\u{1F600}', '\\ud83d\\ude00', '\\x41', '\\cA', '\\t', '\\n', '\\u2028', '\\u2029', '[\\s]', '[^\\S]', '[^\\w]', '\\/', '\\^', '[\\b]', '\\u{61}',
	'[\u00e9-\u00fc]', '[\\u0001-\\u00ff]', '(?:ab|b)'];
const places = ['^', '$', '\\b', '\\B', '(?=a)', '(?!b)', '(?<=a)', '(?<!a)'];
const quantifiers = ['', '', '', '', '*', '+', '?', '{2}', '{1,}', '{0,2}', '{0}', '*?', '{2,3}?'];
const letters = ['a', 'b', '1', ' ', 'a', 'b', '1', ' ', 'c', 'A', '\n', '\r', '\t', '_', '-', '\u0008', '\u00e9', '\u00fc', '\u00a0', '\ufeff', '\u2028', '\u{1F600}'];

let names = 0;
function pattern(depth) {
	let text = '';
	for (let i = below(4); i >= 0; i--) {
		if (below(5) === 0)
			text += choose(places);
		else if (depth > 0 && below(4) === 0)
			text += choose(['(', '(?:', `(?<n${names++}>`]) + pattern(depth - 1) + ')' + choose(quantifiers);
		else
			text += choose(atoms) + choose(quantifiers);
	}
	return depth > 0 && below(5) === 0 ? text + '|' + pattern(depth - 1) : text;
}

for (let i = 0; i < count; i++) {
	const source = pattern(2);
	const regex = new RegExp(source, 'u');
	const line = [source];
	for (let n = 0; n < 6; n++) {
		let string = '';
		for (let k = below(8); k > 0; k--)
			string += choose(letters);
		// V8 looks for \B within a pair of surrogates, too: it is left out there.
		if (!source.includes('\\B') || !string.includes('\u{1F600}'))
			line.push([string, regex.test(string)]);
	}
	console.log(JSON.stringify(line));
}
