------------------------------- MODULE Fridge -------------------------------
VARIABLES door, light

vars == <<door, light>>

GoesOff == TRUE \* F1
GoesOn  == TRUE \* F2

Init == door = "shut" /\ light = FALSE
Open == door = "shut" /\ door' = "open" /\ light' = (light \/ GoesOn)
Shut == door = "open" /\ door' = "shut" /\ light' = (light /\ ~GoesOff)
Next == Open \/ Shut
Spec == Init /\ [][Next]_vars /\ WF_vars(Next)

TypeOK   == door \in {"shut", "open"} /\ light \in BOOLEAN
Dark     == door = "shut" => ~light
Lit      == door = "open" => light
LitAgain == []<>light
=============================================================================
