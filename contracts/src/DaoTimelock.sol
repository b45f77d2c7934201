// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {DevelopmentChain} from "./DevelopmentChain.sol";

/// @title What a vote decided waits here before it happens
/// @notice Owns every contract of the DAO. Only the governor schedules and cancels, anyone executes when the delay has
/// passed, and nobody else has a role unless a vote gives it: there is no administrator but the timelock itself.
///
/// Always: least delay <= delay <= MAX_DELAY.
contract DaoTimelock is TimelockController {
    /// @notice The longest delay, in seconds: longer, and a decision would never come about.
    uint256 public constant MAX_DELAY = 30 days;

    /// @notice The shortest delay, in seconds: an hour, in which who disagrees can leave. On development chains a second.
    uint256 public immutable leastDelay;

    /// @notice The delay is outside its bounds, in seconds.
    error DelayOutOfBounds(uint256 given, uint256 least, uint256 most);

    constructor(uint256 delay, address governor)
        TimelockController(delay, _only(governor), _only(address(0)), address(0))
    {
        leastDelay = DevelopmentChain.here() ? 1 : 1 hours;
        _requireBounds(delay);
    }

    /// @notice Change the delay of later decisions; only by a decision.
    function updateDelay(uint256 delay) public override {
        _requireBounds(delay);
        super.updateDelay(delay);
    }

    function _requireBounds(uint256 delay) private view {
        require(delay >= leastDelay && delay <= MAX_DELAY, DelayOutOfBounds(delay, leastDelay, MAX_DELAY));
    }

    function _only(address account) private pure returns (address[] memory accounts) {
        accounts = new address[](1);
        accounts[0] = account;
    }
}
