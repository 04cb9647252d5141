package spec

// BlameTable gives the tests the table of Blame: variables and guarantees.
func BlameTable() (rows [][2]string) {
	for _, r := range blame {
		rows = append(rows, [2]string{r.variable, r.guarantee})
	}
	return rows
}
