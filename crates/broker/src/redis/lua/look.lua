-- One job as readers see it.
--
-- KEYS     the queue's
-- ARGV     3: id
-- returns  nothing if there is no such job, else its seven facts as describe() has them
local answer = {}
describe(answer, { ARGV[3] })
return answer
