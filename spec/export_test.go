package spec

// Alter returns b with the named guard answering the same always: the tests' way
// to break one line of the model.
func (b Bound) Alter(name string, says bool) Bound {
	for i, n := range guardNames {
		if n == name && guard(i) != gNone {
			b.hook = &hook{altered: guard(i), answer: says}
			return b
		}
	}
	panic("no guard " + name)
}

// GuardNames lists the guards that can be altered, in the order of the TLA+.
func GuardNames() []string { return guardNames[1:] }

// BlameTable gives the tests the table of Blame: variables and guarantees.
func BlameTable() (rows [][2]string) {
	for _, r := range blame {
		rows = append(rows, [2]string{r.variable, r.guarantee})
	}
	return rows
}
