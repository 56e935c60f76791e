"""Target ``coreml``: packages for iPhone, iPad and Mac, checked on any machine and executed on a Mac."""

# What stands in for Core ML where there is none: said wherever one of its numbers appears.
EVALUATOR = "reference evaluator; not executed on Apple hardware"
