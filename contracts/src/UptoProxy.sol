// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {PERMIT2} from "./Addresses.sol";
import {IPermit2} from "./IPermit2.sol";

/// @title Payments of at most what the payer signed, as x402's scheme `upto` has them
/// @notice The payer signs through Permit2 a most, who receives it and which facilitator may settle; the facilitator then
/// settles what the call came to. It never holds any money.
contract UptoProxy {
    /// @notice What the payer signs beside the amount: who receives, who may settle, and from when on.
    struct Witness {
        address to;
        address facilitator;
        uint256 validAfter;
    }

    /// @notice An ERC-2612 permit for Permit2.
    struct Permit2612 {
        uint256 value;
        uint256 deadline;
        bytes32 r;
        bytes32 s;
        uint8 v;
    }

    bytes32 private constant _WITNESS_TYPE = keccak256("Witness(address to,address facilitator,uint256 validAfter)");
    string private constant _WITNESS =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)";

    /// @notice Only the facilitator that the payer signed may settle.
    error NotFacilitator(address caller, address facilitator);
    /// @notice The payment is good from this time on.
    error NotYetValid(uint256 validAfter, uint256 time);
    /// @notice A receiver and an amount are required.
    error NothingToPay(address to, uint256 amount);

    /// @notice `amount` of at most `most` was paid.
    event Paid(address indexed owner, address indexed to, address indexed token, uint256 amount, uint256 most);

    /// @notice Pay `amount`, as the facilitator that the owner signed.
    function settle(
        IPermit2.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external {
        _settle(permit, amount, owner, witness, signature);
    }

    /// @notice Like settle, after approving Permit2 by the owner's ERC-2612 permit.
    /// @dev Anyone may have sent the same permit before; what counts is whether Permit2 can move the money afterwards.
    function settleWithPermit(
        Permit2612 calldata permit2612,
        IPermit2.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external {
        try IERC20Permit(permit.permitted.token)
            .permit(owner, PERMIT2, permit2612.value, permit2612.deadline, permit2612.v, permit2612.r, permit2612.s) {}
            catch {}
        _settle(permit, amount, owner, witness, signature);
    }

    function _settle(
        IPermit2.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) private {
        require(msg.sender == witness.facilitator, NotFacilitator(msg.sender, witness.facilitator));
        require(block.timestamp >= witness.validAfter, NotYetValid(witness.validAfter, block.timestamp));
        require(witness.to != address(0) && amount != 0, NothingToPay(witness.to, amount));
        emit Paid(owner, witness.to, permit.permitted.token, amount, permit.permitted.amount);
        IPermit2(PERMIT2)
            .permitWitnessTransferFrom(
                permit,
                IPermit2.SignatureTransferDetails(witness.to, amount),
                owner,
                keccak256(abi.encode(_WITNESS_TYPE, witness)),
                _WITNESS,
                signature
            );
    }
}
