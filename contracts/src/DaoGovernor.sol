// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governor} from "@openzeppelin/contracts/governance/Governor.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {GovernorCountingSimple} from "@openzeppelin/contracts/governance/extensions/GovernorCountingSimple.sol";
import {GovernorSettings} from "@openzeppelin/contracts/governance/extensions/GovernorSettings.sol";
import {GovernorTimelockControl} from "@openzeppelin/contracts/governance/extensions/GovernorTimelockControl.sol";
import {GovernorVotes} from "@openzeppelin/contracts/governance/extensions/GovernorVotes.sol";
import {
    GovernorVotesQuorumFraction
} from "@openzeppelin/contracts/governance/extensions/GovernorVotesQuorumFraction.sol";
import {DaoTimelock} from "./DaoTimelock.sol";
import {DaoToken} from "./DaoToken.sol";
import {DevelopmentChain} from "./DevelopmentChain.sol";

/// @title How the owners of one data DAO decide
/// @notice OpenZeppelin's governor: one token, one vote, by the power that an account held when voting began; for,
/// against or abstain, by transaction or by signature. What is accepted goes through the timelock.
///
/// Definitions: a proposal succeeds when for > against, and for + abstain >= quorum, the stated percentage of all tokens
/// at the snapshot. Tokens moved or borrowed after the snapshot have no power in it.
/// Always, at launch and after every change:
///   least period <= voting delay, voting period <= MAX_PERIOD; 1 <= threshold <= cap / 20; 1 <= quorum <= MAX_QUORUM;
/// and the timelock stays.
contract DaoGovernor is
    GovernorVotes,
    GovernorSettings,
    GovernorCountingSimple,
    GovernorVotesQuorumFraction,
    GovernorTimelockControl
{
    /// @notice The four numbers that governance runs by.
    struct Rules {
        uint48 votingDelay;
        uint32 votingPeriod;
        uint256 proposalThreshold;
        uint256 quorumPercent;
    }

    /// @notice The longest voting delay and voting period, in seconds.
    uint256 public constant MAX_PERIOD = 30 days;
    /// @notice The largest quorum, in percent of all tokens.
    uint256 public constant MAX_QUORUM = 50;

    /// @notice A rule of governance is outside its bounds.
    error RuleOutOfBounds(string rule, uint256 given, uint256 least, uint256 most);

    /// @notice The timelock owns the DAO's contracts, so the governor keeps it.
    error TimelockStays(address given, address timelock);

    constructor(DaoToken token_, DaoTimelock timelock_, Rules memory rules)
        Governor("Rodagila")
        GovernorVotes(token_)
        GovernorSettings(rules.votingDelay, rules.votingPeriod, rules.proposalThreshold)
        GovernorVotesQuorumFraction(rules.quorumPercent)
        GovernorTimelockControl(timelock_)
    {}

    /// @notice Refuses: the timelock owns the DAO's contracts for good, so a governor with another could decide nothing.
    function updateTimelock(TimelockController newTimelock) public override onlyGovernance {
        revert TimelockStays(address(newTimelock), timelock());
    }

    /// @notice The shortest voting delay and voting period, in seconds: an hour, on development chains a second.
    function leastPeriod() public view returns (uint256) {
        return DevelopmentChain.here() ? 1 : 1 hours;
    }

    /// @notice The largest threshold: one twentieth of the token's cap, so that proposing stays possible.
    function mostThreshold() public view returns (uint256) {
        return DaoToken(address(token())).cap() / 20;
    }

    /// @inheritdoc Governor
    function proposalThreshold() public view override(Governor, GovernorSettings) returns (uint256) {
        return super.proposalThreshold();
    }

    /// @inheritdoc Governor
    function state(uint256 proposalId) public view override(Governor, GovernorTimelockControl) returns (ProposalState) {
        return super.state(proposalId);
    }

    /// @inheritdoc Governor
    function proposalNeedsQueuing(uint256 proposalId)
        public
        view
        override(Governor, GovernorTimelockControl)
        returns (bool)
    {
        return super.proposalNeedsQueuing(proposalId);
    }

    function _setVotingDelay(uint48 delay) internal override {
        _requireBounds("voting delay", delay, leastPeriod(), MAX_PERIOD);
        super._setVotingDelay(delay);
    }

    function _setVotingPeriod(uint32 period) internal override {
        _requireBounds("voting period", period, leastPeriod(), MAX_PERIOD);
        super._setVotingPeriod(period);
    }

    function _setProposalThreshold(uint256 threshold) internal override {
        _requireBounds("proposal threshold", threshold, 1, mostThreshold());
        super._setProposalThreshold(threshold);
    }

    function _updateQuorumNumerator(uint256 percent) internal override {
        _requireBounds("quorum", percent, 1, MAX_QUORUM);
        super._updateQuorumNumerator(percent);
    }

    function _queueOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint48) {
        return super._queueOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _executeOperations(
        uint256 proposalId,
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) {
        super._executeOperations(proposalId, targets, values, calldatas, descriptionHash);
    }

    function _cancel(
        address[] memory targets,
        uint256[] memory values,
        bytes[] memory calldatas,
        bytes32 descriptionHash
    ) internal override(Governor, GovernorTimelockControl) returns (uint256) {
        return super._cancel(targets, values, calldatas, descriptionHash);
    }

    function _executor() internal view override(Governor, GovernorTimelockControl) returns (address) {
        return super._executor();
    }

    function _requireBounds(string memory rule, uint256 given, uint256 least, uint256 most) private pure {
        require(given >= least && given <= most, RuleOutOfBounds(rule, given, least, most));
    }
}
